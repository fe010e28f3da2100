"""What the app needs of a sink: it takes encoded events. One file for each type of sink implements it."""

from __future__ import annotations

from typing import Protocol


class SinkError(Exception):
    """A sink that cannot be opened or written: which one, what happened, what to do."""


class Sink(Protocol):
    """One opened sink. Used by one thread."""

    def write(self, line: bytes) -> None:
        """Take one event: JSON without a line end.

        Raises:
            SinkError: it cannot be written now; the event was not taken.
        """

    def flush(self) -> None:
        """Hand everything taken so far to the operating system."""

    def close(self) -> None:
        """Flush and give everything back. Idempotent."""
