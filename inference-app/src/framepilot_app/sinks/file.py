"""Events as lines at the end of a file."""

from __future__ import annotations

import os
from pathlib import Path

from framepilot_app.sinks.sink import SinkError


class FileSink:
    """Appends each line with one system call. On a full disk the beginning of a line is taken back, so none is torn."""

    def __init__(self, path: Path) -> None:
        """Open the file, created with its folder if missing.

        Raises:
            SinkError: it cannot be created or written.
        """
        self._path = path
        self._descriptor: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._error("cannot be opened", error) from error

    def write(self, line: bytes) -> None:
        """Append one line.

        Raises:
            SinkError: the disk is full or broken; nothing of the line stays in the file.
        """
        if self._descriptor is None:
            raise SinkError(f"file '{self._path}' is closed; open the sink again")
        whole = line + b"\n"
        written = 0
        try:
            while written < len(whole):
                written += os.write(self._descriptor, memoryview(whole)[written:])
        except OSError as error:
            if written:
                os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
            raise self._error("cannot be written", error) from error

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _error(self, what: str, error: OSError) -> SinkError:
        return SinkError(f"file '{self._path}' {what}: {error.strerror}; free space or check path and permissions")
