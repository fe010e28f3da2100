"""What the app needs of a sink: it takes encoded events, some at a time. One file for each type implements it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class SinkError(Exception):
    """A sink that cannot be opened or written now: which one, what happened, what to do.

    `taken`: how many events, from the first on, it took before. `retry_after_s`: how long the receiver asked to wait.
    """

    def __init__(self, message: str, *, taken: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.taken = taken
        self.retry_after_s = retry_after_s


class RefusedError(SinkError):
    """The receiver does not want some events, now or later: after `taken` of them it refused `refused`.

    `reason` is what they are counted under: short, of few values.
    """

    def __init__(self, message: str, reason: str, *, taken: int, refused: int) -> None:
        super().__init__(message, taken=taken)
        self.reason = reason
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Batching:
    """The most events and bytes of one write, and the longest that its first event waits for the others."""

    events: int
    bytes: int
    linger_s: float = 0.0


class Sink(Protocol):
    """One opened sink. Used by one thread; every call ends by itself within seconds, except where a pipe is full."""

    @property
    def batching(self) -> Batching:
        """How many events it wants at once."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Take events, in order: each is JSON without a line end. On return they are the receiver's.

        Raises:
            SinkError: not all were taken.
        """

    def check(self) -> None:
        """Called while there is nothing to write.

        Raises:
            SinkError: it could not be written now.
        """

    def close(self) -> None:
        """Give everything back. Idempotent; raises nothing."""
