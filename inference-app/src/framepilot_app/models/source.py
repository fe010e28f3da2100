"""Where a model is fetched from: the four files of its folder in a store, which is a folder or a web server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from framepilot.contract.desired import ModelRef
from framepilot_app.models.credentials import credentials_for
from framepilot_app.models.model import ModelError
from framepilot_app.models.patience import Patience
from framepilot_app.models.verify import MAX_BYTES, MiB, list_files, read_model_file
from framepilot_app.models.web_source import WebSource


class Source(Protocol):
    """One model's folder in a store. What it gives is not verified."""

    def model_file(self) -> bytes:
        """The bytes of `model.yaml`, of allowed size.

        Raises:
            ModelError: the folder is not there, or cannot be read.
        """

    def copy(self, name: str, target: Path) -> None:
        """Copy one file to `target`, which does not exist, up to the size that is allowed.

        Raises:
            ModelError: the file is not there, too large, or cannot be read.
            OSError: it cannot be written; a source that is a folder raises it for what cannot be read as well.
        """


@contextmanager
def open_source(ref: ModelRef, patience: Patience) -> Iterator[Source]:
    """The source that a reference names.

    Raises:
        ModelError: its URI is none that there is a source for, or its credentials cannot be used.
    """
    title = title_of(ref)
    # A parser's own message would show the URI, and what it shows may be a password.
    try:
        parts = urlsplit(ref.uri)
        web = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise ModelError(title, "its URI cannot be read; correct the store's URL") from None
    if web:
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ModelError(
                title,
                f"a store's URL has no user name, password, '?' or '#': {shown(parts)}; remove them, and write user "
                "and password into a netrc file",
            )
        with WebSource(title, ref.uri, patience, credentials_for(title, ref.uri)) as source:
            yield source
        return
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or parts.query or parts.fragment:
        raise ModelError(
            title,
            f"the URI {shown(parts)!r} is not of the form file:///store/{ref.name}/{ref.version} or "
            f"https://host/store/{ref.name}/{ref.version}",
        )
    yield FolderSource(Path(unquote(parts.path)))


class FolderSource:
    """A folder that is mounted here."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def model_file(self) -> bytes:
        """`model.yaml`, of a folder that holds exactly the files of a model."""
        list_files(self._folder)
        return read_model_file(self._folder)[0]

    def copy(self, name: str, target: Path) -> None:
        """Copy one file, and no more than is allowed of one that grows meanwhile."""
        with (self._folder / name).open("rb") as reader, target.open("xb") as writer:
            left = MAX_BYTES[name]
            while left > 0 and (piece := reader.read(min(MiB, left))):
                writer.write(piece)
                left -= len(piece)


def title_of(ref: ModelRef) -> str:
    """How errors name a model."""
    return f"'{ref.name}' version '{ref.version}'"


def shown(parts: SplitResult) -> str:
    """A URI as it may be shown: without user name, password, query and fragment."""
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()
