"""User names and passwords of streams and sinks, from files: `<name>.username` and `<name>.password` in one folder.

It is what a mounted Secret looks like. The files are read anew at each use, so what is written into them is in force
with the next one. Nothing here shows what it read: an error names the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LARGEST_BYTES: Final = 4096
"""More than this is no user name and no password, but another file."""


class CredentialsError(Exception):
    """A file of credentials cannot be used: which one, what happened, what to do. Never holds what is in it."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password; one of them may be empty."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials in one folder; without a folder there are none."""

    folder: Path | None = None

    def within(self, name: str | None) -> Credentials:
        """Those in the folder of this name below this one; None: there are none."""
        return Credentials(None if self.folder is None or name is None else self.folder / name)

    def of(self, name: str) -> Login | None:
        """What a stream or sink logs in with now; None if neither of its files is there.

        Raises:
            CredentialsError: a file is there and cannot be read, or is no text of one line.
        """
        if self.folder is None:
            return None
        username = _read(self.folder / f"{name}.username")
        password = _read(self.folder / f"{name}.password")
        if username is None and password is None:
            return None
        return Login(username or "", password or "")

    def secret(self, name: str) -> str | None:
        """What a sink signs with now (`<name>.secret`); None if there is no such file.

        Raises:
            CredentialsError: it is there and cannot be read, or is no text of one line.
        """
        return None if self.folder is None else _read(self.folder / f"{name}.secret")


NO_CREDENTIALS: Final = Credentials()


def _read(path: Path) -> str | None:
    """The content without the end of its line; None if there is no such file."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CredentialsError(f"'{path}' cannot be read: {error.strerror}; let this user read it") from None
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise CredentialsError(f"'{path}' is not UTF-8 text; write the user name or the password into it") from None
    if len(content) > LARGEST_BYTES or not text.isprintable():
        raise CredentialsError(f"'{path}' is not one line of text; write the user name or the password into it")
    return text
