"""The desired state of one instance on disk: replaced by an atomic rename, so that no reader sees half of it.

The content is synced before the rename and the folder after it: after a crash the file is the old one or the new one.
"""

from __future__ import annotations

import os
from pathlib import Path

from framepilot.contract.desired import DesiredState
from framepilot.contract.document import DocumentError


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by a durable one with this content.

    Raises:
        OSError: it could not be written; the old file is untouched.
    """
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_desired(path: Path) -> DesiredState | None:
    """The stored document; None if there is none.

    Raises:
        DocumentError: it is not a desired state.
        OSError: it cannot be read.
    """
    try:
        return DesiredState.parse(path.read_bytes())
    except FileNotFoundError:
        return None


def store_next(path: Path, document: DesiredState, known_generation: int) -> DesiredState:
    """Write a document as the next generation, and return it as written.

    The next generation follows the stored one and `known_generation`, the highest that is known from elsewhere: so a
    damaged file is replaced by one that the instance does not take for stale.

    Raises:
        OSError: it could not be written; the old file is untouched.
    """
    try:
        stored = read_desired(path)
    except DocumentError:
        stored = None
    generation = max(known_generation, 0 if stored is None else stored.generation) + 1
    following = document.model_copy(update={"generation": generation})
    write_atomically(path, following.to_json())
    return following
