"""The queue of one lane: first in, first out for each stream, and the streams take turns.

A stream with ten waiting items gets no more of a batch than one with two: a batch takes one item of each stream, then
the next of each, and the batch after it begins with the stream whose turn it is.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framepilot.scheduling.batcher import Waiting
from framepilot_app.modules.journey import Journey
from framepilot_app.modules.preprocess import Prepared

if TYPE_CHECKING:
    from framepilot_app.modules.graph import Node

StreamKey = tuple[str, str]
"""(service, stream)"""


@dataclass(frozen=True, slots=True)
class Item:
    """A frame or a crop, prepared for one lane. Times are monotonic seconds, `pre_s` is a duration.

    `index` is its place among the items of this module for its frame; `deadline` is when its batch has to be finished
    so that the modules after it can still make the frame's.
    """

    journey: Journey
    node: Node
    index: int
    prepared: Prepared
    deadline: float
    arrived_at: float
    pre_s: float

    @property
    def stream(self) -> StreamKey:
        """Whose turn it takes."""
        return self.journey.frame.id.service, self.journey.frame.id.stream


class FairQueue:
    """Not thread-safe: its lane guards it."""

    def __init__(self) -> None:
        self._by_stream: OrderedDict[StreamKey, deque[Item]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, items: Iterable[Item]) -> None:
        """Add items behind those of their streams."""
        for item in items:
            self._by_stream.setdefault(item.stream, deque()).append(item)
            self._length += 1

    def waiting(self) -> Waiting:
        """What the batcher looks at, in the order in which `take` would take."""
        items = list(self._in_turn())
        return Waiting(
            arrivals=[item.arrived_at for item in items],
            deadlines=[item.deadline for item in items],
            enforced=[item.journey.frame.enforced for item in items],
        )

    def take(self, size: int) -> list[Item]:
        """The first `size` items, streams taking turns."""
        taken: list[Item] = []
        while len(taken) < size:
            stream, items = self._by_stream.popitem(last=False)
            taken.append(items.popleft())
            if items:
                self._by_stream[stream] = items
        self._length -= size
        return taken

    def remove(self, positions: Iterable[int]) -> list[Item]:
        """Take the items at these positions of `waiting` out of the queue."""
        items = list(self._in_turn())
        removed = [items[position] for position in positions]
        for item in removed:
            mine = self._by_stream[item.stream]
            mine.remove(item)
            if not mine:
                del self._by_stream[item.stream]
        self._length -= len(removed)
        return removed

    def _in_turn(self) -> Iterator[Item]:
        turns = [iter(items) for items in self._by_stream.values()]
        while turns:
            still = []
            for turn in turns:
                item = next(turn, None)
                if item is not None:
                    yield item
                    still.append(turn)
            turns = still
