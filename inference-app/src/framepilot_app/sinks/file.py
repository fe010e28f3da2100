"""Events as lines at the end of a file, which is rotated when it has grown.

`events.jsonl` is the newest; a rotated one is `events.jsonl.1`, the next older `.2`, as logrotate names them. A file
that somebody moved or removed is begun anew, so that nothing is written where nobody finds it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from framepilot.contract.desired import Rotation
from framepilot_app.sinks.sink import Batching, SinkError


class FileSink:
    """Appends each line with one system call. On a full disk the beginning of a line is taken back, so none is torn."""

    batching = Batching(events=256, bytes=4 << 20)

    def __init__(self, path: Path, rotation: Rotation | None = None) -> None:
        """Open the file, created with its folder if missing.

        Raises:
            SinkError: it cannot be created or written.
        """
        self._path = path
        self._rotation = rotation
        self._descriptor: int | None = None
        try:
            self._opened()
        except OSError as error:
            raise self._error("cannot be opened", error) from error

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines.

        Raises:
            SinkError: the disk is full or broken; nothing of a line that was not taken stays in the file.
        """
        self.check()
        for taken, line in enumerate(lines):
            try:
                self._append(line + b"\n")
            except OSError as error:
                raise self._error("cannot be written", error, taken) from error

    def check(self) -> None:
        """Begin the file anew if it is not there any more.

        Raises:
            SinkError: it cannot be created.
        """
        try:
            if self._descriptor is not None and not self._is_there(self._descriptor):
                self.close()
            self._opened()
        except OSError as error:
            raise self._error("cannot be opened", error) from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # A pipe that nobody reads must not hold up the other files that this thread writes.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            self._descriptor = os.open(self._path, flags, 0o644)
        return self._descriptor

    def _is_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _append(self, whole: bytes) -> None:
        self._make_room(len(whole))
        descriptor = self._opened()
        written = 0
        try:
            while written < len(whole):
                written += os.write(descriptor, memoryview(whole)[written:])
        except OSError:
            if written:
                os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
            raise

    def _make_room(self, needed: int) -> None:
        """Rotate, if the file would grow beyond its size."""
        if self._rotation is None:
            return
        size = os.fstat(self._opened()).st_size
        if size == 0 or size + needed <= self._rotation.size_bytes:
            return
        self.close()
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n + 1}") for n in range(self._rotation.keep))]
        names[-1].unlink(missing_ok=True)
        for newer, older in reversed([*pairwise(names)]):
            if newer.exists():
                newer.replace(older)

    def _error(self, what: str, error: OSError, taken: int = 0) -> SinkError:
        message = f"file '{self._path}' {what}: {error.strerror}; free space or check path and permissions"
        return SinkError(message, taken=taken)
