"""Events as lines on standard output."""

from __future__ import annotations

import os
import threading

from framepilot_app.sinks.sink import SinkError

STDOUT = 1

# A pipe keeps writes of different threads apart only up to 4 KiB; services that share the output share this lock.
_whole_lines = threading.Lock()


class StdoutSink:
    """Writes to the descriptor itself, past Python's buffer: a line that failed is not written later by surprise."""

    def __init__(self, descriptor: int = STDOUT) -> None:
        self._descriptor = descriptor

    def write(self, line: bytes) -> None:
        """Write one line.

        Raises:
            SinkError: nobody reads the output any more, or the disk it goes to is full.
        """
        rest = memoryview(line + b"\n")
        with _whole_lines:
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError as error:
                raise SinkError(f"standard output: {error.strerror}; check what reads it") from error

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Standard output belongs to the process and stays open."""
