"""A queue that is bounded in events and in bytes: what comes when it is full pushes the oldest out.

Those at its head that somebody has in hand (`hold`) are not pushed out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a queue holds."""

    events: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, and when it came (monotonic, seconds)."""

    line: bytes
    at: float


class BoundedQueue:
    """First in, first out. Not thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._held = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest(self) -> Entry | None:
        """The entry at the head."""
        return self._entries[0] if self._entries else None

    @property
    def fill(self) -> float:
        """How full it is, 0..1, by whichever bound is nearer."""
        return max(len(self._entries) / self._limits.events, self._bytes / self._limits.bytes)

    def fits(self, line: bytes) -> bool:
        """Whether one more goes in without pushing another out."""
        return len(self._entries) < self._limits.events and self._bytes + len(line) <= self._limits.bytes

    def put(self, entry: Entry) -> int:
        """Add one; returns how many were lost for it, itself included where even an emptied queue has no room."""
        lost = 0
        while not self.fits(entry.line) and len(self._entries) > self._held:
            self._bytes -= len(self._entries[self._held].line)
            del self._entries[self._held]
            lost += 1
        if not self.fits(entry.line):
            return lost + 1
        self._entries.append(entry)
        self._bytes += len(entry.line)
        return lost

    def ready(self, events: int, size: int) -> bool:
        """Whether it holds as much as one batch may have."""
        return len(self._entries) >= events or self._bytes >= size

    def hold(self, events: int, size: int) -> list[bytes]:
        """Those at the head, within these bounds but at least one, which stay in the queue until `release`."""
        lines: list[bytes] = []
        for entry in islice(self._entries, events):
            size -= len(entry.line)
            if lines and size < 0:
                break
            lines.append(entry.line)
        self._held = len(lines)
        return lines

    def release(self, done: int) -> int:
        """Nothing is in hand any more; the first `done` of what was are gone. Returns how many of them were here."""
        gone = min(done, self._held)
        self._held = 0
        for _ in range(gone):
            self.pop()
        return gone

    def pop(self) -> Entry:
        """Take out the entry at the head, which nobody has in hand."""
        entry = self._entries.popleft()
        self._bytes -= len(entry.line)
        return entry

    @property
    def in_hand(self) -> bool:
        """Whether somebody has some of it in hand."""
        return self._held > 0

    def free(self) -> tuple[Entry, ...]:
        """Everything that nobody has in hand, the oldest first."""
        return tuple(islice(self._entries, self._held, None))

    def drain(self) -> tuple[Entry, ...]:
        """Take out everything that nobody has in hand, the oldest first."""
        free = self.free()
        for entry in free:
            self._entries.pop()
            self._bytes -= len(entry.line)
        return free
