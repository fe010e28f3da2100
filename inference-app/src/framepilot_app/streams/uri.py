"""A source's URI: what may be shown of it, and what it becomes with a user name and a password."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from framepilot_app.credentials import Login

_AUTHORITY = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<authority>[^/?#]*)(?P<rest>.*)$", re.DOTALL)
_HOST = re.compile(r"^(\[[^\]]*\]|[^:\[\]]*)(:\d*)?$")
_SECRET = re.compile(r"([?&;][^=&;#]*(?:user|usr|login|pass|pwd|token|key|secret|auth)[^=&;#]*=)[^&;#]*", re.IGNORECASE)

LIVE: Final = frozenset({"rtsp", "rtsps", "http", "https", "device"})
"""The schemes of what is opened again whenever it ends: a camera does not end, it goes away."""

USERNAME: Final = "{username}"
PASSWORD: Final = "{password}"  # noqa: S105 where the password goes, not one
"""Where a camera wants its login in the query. In any other URI it goes before the host."""


def scheme_of(uri: str) -> str:
    """Its scheme in lower case; the whole of what has none."""
    return uri.partition("://")[0].lower()


def is_live(uri: str) -> bool:
    """Whether it names something that comes as it comes, and is opened again when it ends."""
    return scheme_of(uri) in LIVE


def redact(uri: str) -> str:
    """The URI without user, password and secret query parameters: what may be shown and logged.

    A password with an unescaped '/', '?' or '#' leaves a host that is none; then all up to the last '@' is removed.
    """
    parts = _AUTHORITY.match(uri)
    if parts is None:
        return uri.rpartition("@")[2]
    scheme, authority, rest = parts["scheme"], parts["authority"], parts["rest"]
    if scheme.lower() in {"file://", "device://"}:
        return uri
    shown = authority.rpartition("@")[2]
    shown = rest.rpartition("@")[2] if "@" in rest and not _HOST.match(shown) else shown + rest
    return scheme + _SECRET.sub(r"\1***", shown)


def with_login(uri: str, login: Login | None) -> str:
    """The URI to open: the login where `{username}` and `{password}` stand, or else before the host."""
    if login is None:
        return uri
    username, password = quote(login.username, safe=""), quote(login.password, safe="")
    if USERNAME in uri or PASSWORD in uri:
        return uri.replace(USERNAME, username).replace(PASSWORD, password)
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{username}:{password}@{rest}"
