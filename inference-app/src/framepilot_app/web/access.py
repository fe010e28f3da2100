"""Who may see the page. It shows what cameras see, so by default only this machine: in a pod, `kubectl port-forward`.

A browser's request from this machine may have been made by somebody else's web page: one whose host name was made to
point here (DNS rebinding). Its Host header gives it away, so that has to be a name of this machine, too.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from urllib.parse import urlsplit


class Access(StrEnum):
    """Whose requests for the page are answered."""

    LOCAL = "local"
    ALL = "all"
    OFF = "off"


def refusal(access: Access, peer: str | None, host: str) -> str | None:
    """Why a request is refused; None if it is not. `peer` is the address that it is from, `host` its Host header."""
    if access is Access.ALL or (_is_this_machine(peer or "") and _names_this_machine(host)):
        return None
    return (
        "The page is for requests from this machine to http://localhost or http://127.0.0.1. To a pod, use kubectl "
        "port-forward. `--page all` opens it to everybody who reaches this port."
    )


def _is_this_machine(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def _names_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or _is_this_machine(name)
