"""Where a Prometheus server is, and what it takes to ask it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class PrometheusServer:
    """Its address, as in `https://HOST:PORT/PATH`. The files are read at each question, as they are renewed.

    `token_file` holds a bearer token, `ca_file` the certificates by which its own is judged; None: the system's.

    Raises:
        ValueError: the address is none of such a server.
    """

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        if not _is_address(self.url):
            raise ValueError(
                "it is not of the form http://HOST:PORT or https://HOST/PATH; a login is a token, given in a file"
            )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and "@" not in parts.netloc
            and not (parts.query or parts.fragment)
        )
    except ValueError:
        return False
