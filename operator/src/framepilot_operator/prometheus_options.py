"""The options that say where Prometheus is: the same for whoever asks it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from framepilot_operator.telemetry.prometheus_server import PrometheusServer

Url = Annotated[
    str | None,
    typer.Option(
        "--prometheus",
        envvar="FRAMEPILOT_PROMETHEUS",
        help="Address of a Prometheus server that knows how devices are used, as in http://localhost:9090.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--prometheus-token-file", envvar="FRAMEPILOT_PROMETHEUS_TOKEN_FILE", help="File with a bearer token for it."
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--prometheus-ca-file",
        envvar="FRAMEPILOT_PROMETHEUS_CA_FILE",
        help="File with the certificates that its own is judged by; else the system's.",
    ),
]


def server(url: str | None, token_file: Path | None, ca_file: Path | None) -> PrometheusServer | None:
    """The server that is asked; None: none is.

    Raises:
        typer.BadParameter: it is none, or a file is not there.
    """
    if not url:
        return None
    for option, file in (("--prometheus-token-file", token_file), ("--prometheus-ca-file", ca_file)):
        if file is not None and not file.is_file():
            raise typer.BadParameter(f"there is no file '{file}'", param_hint=option)
    try:
        return PrometheusServer(url, token_file, ca_file)
    except ValueError as error:
        raise typer.BadParameter(f"'{url}': {error}", param_hint="--prometheus") from error
