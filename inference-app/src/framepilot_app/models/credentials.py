"""What a store on the web is asked with: user and password for its host, from a netrc file, as curl, git and pip do it.

The file is read anew for every fetch, so what is written into it, or into the Secret that it is mounted from, is in
force with the next one. A password leaves this machine over TLS only, and is shown nowhere: what Python's parser says
of a file repeats what it read there, so errors say where the mistake is and not what it is.
https://www.gnu.org/software/inetutils/manual/html_node/The-_002enetrc-file.html
"""

from __future__ import annotations

import os
import urllib.request
from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import ip_address
from netrc import NetrcParseError, netrc
from typing import Final
from urllib.parse import SplitResult, urlsplit

from framepilot_app.models.model import UnavailableError

VARIABLE: Final = "NETRC"
DEFAULT_FILE: Final = "~/.netrc"
_DEFAULT_ENTRY: Final = "default"
_FORM: Final = "machine HOST login USER password PASSWORD"
_WRONG_OWNER_OR_MODE: Final = "~/.netrc "
"""How the parser begins to say that others may read the default file, or that it is another user's."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The `Authorization` that a host is asked with, and the netrc file; None: there is none."""

    host: str
    file: str | None
    authorization: str | None = field(repr=False)

    @property
    def why_refused(self) -> str:
        """What to do if the host refuses them, or the lack of them."""
        if self.authorization is not None:
            return (
                f"asked with the user and password for {self.host} in {self.file}; correct them there, or let this "
                "user read the store"
            )
        if self.file is not None:
            return f"asked without credentials; add a user and a password for {self.host} to {self.file}"
        return (
            f"asked without credentials; let {VARIABLE} name a netrc file with a user and a password for {self.host}, "
            "or let everybody read the store"
        )


def credentials_for(which: str, url: str) -> Credentials:
    """What the model `which` is asked for with at `url`, which holds no user or password itself.

    Raises:
        UnavailableError: the netrc file cannot be used, or the password would be sent where others can read it.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    file, entries = _read(which)
    name = host if host in entries else _DEFAULT_ENTRY
    user, password = entries.get(name, ("", ""))
    # An entry of both empty keeps the default entry from a host.
    if not user and not password:
        return Credentials(host, file, None)
    if parts.scheme != "https" and not _stays_on_this_machine(parts):
        raise UnavailableError(
            which,
            f"{url} is not asked for: the password of the entry {name!r} in {file} would be sent in the clear; use "
            "https, or remove the entry (over http it is sent to this machine only, and not through a proxy)",
        )
    return Credentials(host, file, f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")


def _read(which: str) -> tuple[str | None, dict[str, tuple[str, str]]]:
    """The file's name, and user and password by host, which is in lower case as in a URL that was split."""
    named = os.environ.get(VARIABLE)
    # Where there is no home folder, or it is somebody else's, there is no file in it; Path would raise an error.
    if not named and not os.access(os.path.expanduser(DEFAULT_FILE), os.F_OK):  # noqa: PTH111
        return None, {}
    file = named or DEFAULT_FILE
    try:
        # Without a name the parser takes the default file, and only if nobody else may read it.
        hosts = netrc(named or None).hosts
    except FileNotFoundError:
        raise UnavailableError(which, f"the netrc file {file} is not there; mount it, or unset {VARIABLE}") from None
    except OSError as error:
        raise UnavailableError(which, f"{file} cannot be read: {error.strerror}; let this user read it") from None
    except NetrcParseError as error:
        if error.msg.startswith(_WRONG_OWNER_OR_MODE):
            what = f"others may read it, or own it; chown and chmod 600 it, or let {VARIABLE} name another file"
        else:
            what = f"it is no netrc file, about line {error.lineno}; write {_FORM}"
        raise UnavailableError(which, f"{file} cannot be used: {what}") from None
    except ValueError:
        raise UnavailableError(which, f"{file} cannot be used: it is no text; write {_FORM}") from None
    return file, {name.lower(): (user, password) for name, (user, _, password) in hosts.items()}


def _stays_on_this_machine(parts: SplitResult) -> bool:
    if "http" in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.netloc):
        return False
    try:
        return parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
