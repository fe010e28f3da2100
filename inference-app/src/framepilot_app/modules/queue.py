"""The queue of one lane: the higher priority first, first in, first out for each stream, and the streams take turns.

A stream with ten waiting items gets no more of a batch than one with two: a batch takes one item of each stream, then
the next of each, and the batch after it begins with the stream whose turn it is.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framepilot.contract.events import StreamKey
from framepilot.scheduling.batcher import Waiting
from framepilot_app.modules.journey import Journey
from framepilot_app.modules.preprocess import Prepared

if TYPE_CHECKING:
    from framepilot_app.modules.graph import Node


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
        return self.journey.frame.stream

    @property
    def priority(self) -> int:
        """The higher is taken first."""
        return self.journey.frame.priority


class FairQueue:
    """Not thread-safe: its lane guards it."""

    def __init__(self) -> None:
        # By priority, the highest first; a stream has items in two of them while its priority changes.
        self._classes: dict[int, OrderedDict[StreamKey, deque[Item]]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def priority(self) -> int:
        """The highest of what waits; -1 if nothing does."""
        return next(iter(self._classes), -1)

    def push(self, items: Iterable[Item]) -> None:
        """Add items behind those of their streams."""
        for item in items:
            streams = self._classes.get(item.priority)
            if streams is None:
                self._classes[item.priority] = streams = OrderedDict()
                self._classes = dict(sorted(self._classes.items(), reverse=True))
            streams.setdefault(item.stream, deque()).append(item)
            self._length += 1

    def waiting(self) -> Waiting:
        """What the batcher looks at, in the order in which `take` would take."""
        items = list(self._in_turn())
        return Waiting(
            arrivals=[item.arrived_at for item in items],
            deadlines=[item.deadline for item in items],
            enforced=[item.journey.frame.enforced for item in items],
        )

    @property
    def head(self) -> Item | None:
        """The one that `take` would take first; it stays."""
        return next(self._in_turn(), None)

    def first(self, most: int) -> list[Item]:
        """Those that `take` would take next, at most so many; they stay."""
        return list(itertools.islice(self._in_turn(), most))

    def take(self, size: int) -> list[Item]:
        """The first `size` items, streams of equal priority taking turns."""
        taken: list[Item] = []
        while len(taken) < size:
            priority, streams = next(iter(self._classes.items()))
            stream, items = streams.popitem(last=False)
            taken.append(items.popleft())
            if items:
                streams[stream] = items
            elif not streams:
                del self._classes[priority]
        self._length -= size
        return taken

    def remove(self, positions: Iterable[int]) -> list[Item]:
        """Take the items at these positions of `waiting` out of the queue."""
        items = list(self._in_turn())
        removed = [items[position] for position in positions]
        for item in removed:
            streams = self._classes[item.priority]
            mine = streams[item.stream]
            mine.remove(item)
            if not mine:
                del streams[item.stream]
            if not streams:
                del self._classes[item.priority]
        self._length -= len(removed)
        return removed

    def _in_turn(self) -> Iterator[Item]:
        for streams in self._classes.values():
            turns = [iter(items) for items in streams.values()]
            while turns:
                still = []
                for turn in turns:
                    item = next(turn, None)
                    if item is not None:
                        yield item
                        still.append(turn)
                turns = still
