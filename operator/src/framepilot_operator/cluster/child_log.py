"""The file that a child's standard error goes to, kept within bounds while the child runs.

The child holds the file open, so it is not renamed but copied and emptied: it is opened for appending, and a write
after that begins at the new end. What is written between the copy and the emptying is lost; nothing is counted by it.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

MOST_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChildLog:
    """`path` has the newest lines, `<path>.1` those before them; each has hardly more than `most_bytes`."""

    path: Path
    most_bytes: int = MOST_BYTES

    def begin(self) -> BinaryIO:
        """A new life of the child: put the old log aside and open an empty one."""
        with suppress(FileNotFoundError):
            self.path.replace(self._older)
        return self.path.open("ab")

    def rotate(self) -> None:
        """Put the log aside if it has grown too large.

        Raises:
            OSError: the disk is full, or the file is not to be written.
        """
        try:
            too_large = self.path.stat().st_size > self.most_bytes
        except FileNotFoundError:
            return
        if too_large:
            shutil.copyfile(self.path, self._older)
            with self.path.open("r+b") as file:
                file.truncate(0)

    @property
    def _older(self) -> Path:
        return self.path.with_name(f"{self.path.name}.1")
