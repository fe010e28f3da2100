"""The ledger: what arrived at the sink, frame by frame, from event lines alone.

The ids are deterministic (`contract.events`), so what a sink received says by itself what is missing: per epoch the
sequences run 0 … n-1, each delivered or dropped. Folding is free of order: however the lines of several streams are
interleaved, repeated, or cut into chunks, the same frames are accounted for. Nothing here reads files or clocks.
"""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from framepilot.contract.events import DELIVERED_TYPE, DROPPED_TYPE, FrameId

MISSING: Final = 0
DELIVERED: Final = 1
DROPPED: Final = 2

StreamKey = tuple[str, str]
"""(service, stream)"""


@dataclass(frozen=True, slots=True)
class Event:
    """One frame's end, as a sink saw it.

    `at` is Unix seconds: when it was handed over to the sinks, or, dropped, captured. `reason` is None for a delivered
    frame.
    """

    frame: FrameId
    at: float
    latency_ms: float | None = None
    reason: str | None = None


class Window(NamedTuple):
    """A span of time in Unix seconds, both ends included."""

    start: float
    end: float


def whole_lines(chunk: bytes) -> tuple[list[bytes], int]:
    """The lines of a piece of a growing file, without line ends, and the bytes that they take.

    A line without its end is left for the next piece, which begins with it.
    """
    consumed = chunk.rfind(b"\n") + 1
    return [line for line in chunk[:consumed].split(b"\n") if line.strip()], consumed


def parse(line: bytes) -> Event | None:
    """Read one line of a sink.

    A writer that was killed leaves half a line, and its successor appends to it: so where the whole line is not an
    event, the event that ends the line is taken. None if there is none, or it is not about a frame.
    """
    start = line.find(b"{")
    while start >= 0:
        event = _event(line[start:])
        if event is not None:
            return event
        start = line.find(b"{", start + 1)
    return None


def _event(text: bytes) -> Event | None:
    try:
        document = json.loads(text)
        frame = FrameId.parse(document["id"])
        captured_at = datetime.fromisoformat(document["time"]).timestamp()
        if document["type"] == DELIVERED_TYPE:
            latency_ms = float(document["data"]["latencyMs"])
            return Event(frame, captured_at + latency_ms / 1000, latency_ms=latency_ms)
        if document["type"] == DROPPED_TYPE:
            return Event(frame, captured_at, reason=str(document["data"]["reason"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return None


@dataclass(slots=True)
class Epoch:
    """One opening of one stream: for each sequence how it ended, when, and with which latency.

    A frame that was both delivered and dropped counts as delivered, and as a duplicate.
    """

    ends: bytearray = field(default_factory=bytearray)
    at: array[float] = field(default_factory=lambda: array("d"))
    latency_ms: array[float] = field(default_factory=lambda: array("d"))
    reasons: dict[int, str] = field(default_factory=dict)
    delivered: int = 0
    duplicates: int = 0
    first_at: float = math.inf
    last_at: float = -math.inf
    expected: int = 0

    @property
    def given(self) -> int:
        """Frames that the source gave: as counted elsewhere (`expect`), or the highest sequence seen, plus one."""
        return max(self.expected, len(self.ends))

    @property
    def unaccounted(self) -> int:
        """Frames that the source gave and the sink saw neither delivered nor dropped."""
        return self.given - self.delivered - len(self.reasons)

    @property
    def span(self) -> Window:
        """The time from the first to the last event; empty without events."""
        return Window(self.first_at, self.last_at)

    def expect(self, given: int) -> None:
        """Say how many frames the source gave, as somebody else counted them."""
        self.expected = max(self.expected, given)

    def record(self, event: Event) -> None:
        """Take one event of this epoch."""
        sequence = event.frame.sequence
        self._reach(sequence)
        self.first_at, self.last_at = min(self.first_at, event.at), max(self.last_at, event.at)
        if self.ends[sequence] != MISSING:
            self.duplicates += 1
            if self.ends[sequence] == DELIVERED or event.reason is not None:
                return
            del self.reasons[sequence]
        self.at[sequence] = event.at
        if event.reason is not None:
            self.ends[sequence] = DROPPED
            self.reasons[sequence] = event.reason
            return
        self.ends[sequence] = DELIVERED
        self.delivered += 1
        self.latency_ms[sequence] = math.nan if event.latency_ms is None else event.latency_ms

    def _reach(self, sequence: int) -> None:
        more = sequence + 1 - len(self.ends)
        if more > 0:
            self.ends.extend(bytes(more))
            self.at.extend([math.nan] * more)
            self.latency_ms.extend([math.nan] * more)

    def dropped(self) -> Counter[str]:
        """Recorded drops by reason."""
        return Counter(self.reasons.values())

    def missing(self) -> Iterator[tuple[int, Window]]:
        """Each run of missing sequences: its length, and the time between its neighbours."""
        position = self.ends.find(MISSING)
        while position >= 0:
            end = position
            while self.ends[end] == MISSING:
                end += 1
            before = self.at[position - 1] if position else self.first_at
            yield end - position, Window(min(before, self.at[end]), max(before, self.at[end]))
            position = self.ends.find(MISSING, end)
        if self.given > len(self.ends):
            yield self.given - len(self.ends), Window(self.last_at, self.last_at)

    def latencies(self, window: Window) -> list[float]:
        """Latencies in milliseconds of the frames delivered in a window."""
        return [
            latency
            for at, latency, end in zip(self.at, self.latency_ms, self.ends, strict=True)
            if end == DELIVERED and window.start <= at <= window.end and not math.isnan(latency)
        ]


@dataclass(slots=True)
class Stream:
    """One stream's epochs, and how many frames were delivered after one that was captured later."""

    epochs: dict[int, Epoch] = field(default_factory=dict)
    out_of_order: int = 0
    newest: tuple[int, int] = (-1, -1)

    def epoch(self, opened: int) -> Epoch:
        """The epoch of this opening, empty if nothing arrived of it yet."""
        return self.epochs.setdefault(opened, Epoch())

    def record(self, event: Event) -> None:
        """Take one event of this stream."""
        epoch = self.epoch(event.frame.epoch)
        delivered = epoch.delivered
        epoch.record(event)
        if epoch.delivered > delivered:
            frame = (event.frame.epoch, event.frame.sequence)
            self.out_of_order += frame < self.newest
            self.newest = max(self.newest, frame)

    def dropped(self) -> Counter[str]:
        """Recorded drops by reason."""
        return sum((epoch.dropped() for epoch in self.epochs.values()), Counter())


@dataclass(slots=True)
class Ledger:
    """Everything that arrived, by stream and epoch. Grows by 17 bytes with every frame."""

    streams: dict[StreamKey, Stream] = field(default_factory=dict)
    unreadable: int = 0

    def read(self, lines: Sequence[bytes]) -> None:
        """Take whole lines of a sink."""
        for line in lines:
            event = parse(line)
            if event is None:
                self.unreadable += 1
            else:
                self.record(event)

    def record(self, event: Event) -> None:
        """Take one event."""
        self.stream((event.frame.service, event.frame.stream)).record(event)

    def stream(self, key: StreamKey) -> Stream:
        """One stream, empty if nothing arrived of it yet."""
        return self.streams.setdefault(key, Stream())

    def epochs(self, service: str) -> Iterator[Epoch]:
        """Every epoch of every stream of a service."""
        for (name, _), stream in self.streams.items():
            if name == service:
                yield from stream.epochs.values()

    def oddities(self) -> Iterator[str]:
        """What should not happen at a sink, and is no loss: one sentence each."""
        for (service, name), stream in self.streams.items():
            duplicates = sum(epoch.duplicates for epoch in stream.epochs.values())
            if duplicates:
                yield f"{service} stream {name}: {duplicates} events came twice"
            if stream.out_of_order:
                yield f"{service} stream {name}: {stream.out_of_order} frames came after a later one"
        if self.unreadable:
            yield f"{self.unreadable} lines are no events"

    def p99_ms(self, service: str, window: Window) -> float | None:
        """The 99th percentile of frame latency in a window, of all streams of a service; None without frames."""
        found: list[float] = []
        for epoch in self.epochs(service):
            if _overlap(epoch.span, window):
                found.extend(epoch.latencies(window))
        return quantile(found, 0.99)

    def lost_in(self, service: str, window: Window) -> int:
        """Missing sequences of a service whose neighbours were seen in a window, or on both sides of it."""
        return sum(
            count
            for epoch in self.epochs(service)
            if _overlap(epoch.span, window)
            for count, gap in epoch.missing()
            if _overlap(gap, window)
        )

    def dropped_in(self, service: str, window: Window) -> int:
        """Recorded drops of a service in a window."""
        return sum(
            window.start <= epoch.at[sequence] <= window.end
            for epoch in self.epochs(service)
            if _overlap(epoch.span, window)
            for sequence in epoch.reasons
        )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of the values does not exceed (nearest rank); None without values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _overlap(one: Window, other: Window) -> bool:
    return one.start <= other.end and other.start <= one.end
