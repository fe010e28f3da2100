"""From a source's URI to the opened source, and to what may be shown of the URI."""

from __future__ import annotations

import re
from collections.abc import Callable

from framepilot_app.streams.file import open_file
from framepilot_app.streams.source import Source, SourceError
from framepilot_app.streams.synthetic import open_synthetic

_OPENERS: dict[str, Callable[[str], Source]] = {"file": open_file, "test": open_synthetic}

_AUTHORITY = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<authority>[^/?#]*)(?P<rest>.*)$", re.DOTALL)
_HOST = re.compile(r"^(\[[^\]]*\]|[^:\[\]]*)(:\d*)?$")
_SECRET = re.compile(r"([?&;][^=&;#]*(?:user|usr|login|pass|pwd|token|key|secret|auth)[^=&;#]*=)[^&;#]*", re.IGNORECASE)


def open_source(uri: str) -> Source:
    """Open a source by its scheme.

    Raises:
        SourceError: no source has this scheme, or the source cannot be opened.
    """
    scheme = uri.partition("://")[0].lower()
    opener = _OPENERS.get(scheme)
    if opener is None:
        known = ", ".join(f"{known}://" for known in _OPENERS)
        raise SourceError(f"source '{redact(uri)}' has no scheme that can be opened; there are: {known}")
    return opener(uri)


def redact(uri: str) -> str:
    """The URI without user, password and secret query parameters: what may be shown and logged.

    A password with an unescaped '/', '?' or '#' leaves a host that is none; then all up to the last '@' is removed.
    """
    parts = _AUTHORITY.match(uri)
    if parts is None:
        return uri.rpartition("@")[2]
    scheme, authority, rest = parts["scheme"], parts["authority"], parts["rest"]
    if scheme.lower() == "file://":
        return uri
    shown = authority.rpartition("@")[2]
    shown = rest.rpartition("@")[2] if "@" in rest and not _HOST.match(shown) else shown + rest
    return scheme + _SECRET.sub(r"\1***", shown)
