"""Events as lines on standard output."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Final

from framepilot_app.sinks.sink import Batching, SinkError

STDOUT: Final = 1

# A pipe keeps writes of different threads apart only up to 4 KiB; services that share the output share this lock.
_whole_lines = threading.Lock()


class StdoutSink:
    """Writes to the descriptor itself, past Python's buffer: a line that failed is not written later by surprise."""

    batching = Batching(events=64, bytes=1 << 20)

    def __init__(self, descriptor: int = STDOUT) -> None:
        self._descriptor = descriptor

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines.

        Raises:
            SinkError: nobody reads the output any more, or the disk it goes to is full.
        """
        for taken, line in enumerate(lines):
            rest = memoryview(line + b"\n")
            with _whole_lines:
                try:
                    while rest:
                        rest = rest[os.write(self._descriptor, rest) :]
                except OSError as error:
                    message = f"standard output: {error.strerror}; check what reads it"
                    raise SinkError(message, taken=taken) from error

    def check(self) -> None:
        """Nothing can be known without writing."""

    def close(self) -> None:
        """Standard output belongs to the process and stays open."""
