"""One stream's line through one service: frames leave in the order of capture, and every one is accounted for.

`ingested = delivered + dropped + in flight` at every moment: a frame is in the line from the return of decode until its
outcome has been handed to the sinks, and leaves it in the same step that counts it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable

from framepilot.contract.observed import FrameCounts
from framepilot_app.frames import Dropped, DropReason, Ended, Outcome
from framepilot_app.modules.graph import Graph
from framepilot_app.modules.journey import Journey

log = logging.getLogger(__name__)


class Line:
    """Thread-safe. `emit` is called in order, by one thread at a time, and must not wait for anything."""

    def __init__(self, emit: Callable[[Outcome], None]) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._emitting = threading.Lock()
        self._order: deque[Journey] = deque()
        self._outcomes: dict[Journey, Outcome] = {}
        self._delivered = 0
        self._within = 0
        self._dropped: Counter[str] = Counter()
        self._ingested = 0
        self._still = 0

    def admit(self, journey: Journey, *, still: bool = False) -> None:
        """A frame was decoded; `still`: it shows nothing new and will not be run."""
        with self._lock:
            self._ingested += 1
            self._still += still
            self._order.append(journey)

    def settle(self, journey: Journey, outcome: Outcome) -> int:
        """How a frame ended. Emits whatever is now at the head of the line; returns how many frames left it."""
        with self._lock:
            self._outcomes[journey] = outcome
        left = 0
        with self._emitting:
            while (head := self._head()) is not None:
                self._leave(self._emitted(head))
                left += 1
        return left

    def _emitted(self, outcome: Outcome) -> Outcome:
        """Emit it; what became of it. A frame that cannot be emitted must not hold up those behind it."""
        try:
            self._emit(outcome)
        except Exception as error:
            log.exception("a frame could not be handed to the sinks", extra={"frame": str(outcome.frame.id)})
            return Dropped(outcome.frame, DropReason.ERROR, f"it could not be handed to the sinks: {error}")
        return outcome

    def counts(self) -> FrameCounts:
        """The account at one moment."""
        with self._lock:
            return FrameCounts(
                ingested=self._ingested,
                delivered=self._delivered,
                within=self._within,
                still=self._still,
                dropped=dict(self._dropped),
                in_flight=len(self._order),
            )

    def ended(self) -> Ended:
        """What of the account an objective is judged by; asked for every second, of every stream."""
        with self._lock:
            return Ended.of(self._delivered, self._within, self._dropped)

    @property
    def empty(self) -> bool:
        """Whether nothing is in flight."""
        return not self._order

    def graphs(self) -> set[Graph]:
        """The graphs that frames in flight are bound to."""
        with self._lock:
            return {journey.graph for journey in self._order}

    def _head(self) -> Outcome | None:
        with self._lock:
            return self._outcomes.get(self._order[0]) if self._order else None

    def _leave(self, outcome: Outcome) -> None:
        with self._lock:
            del self._outcomes[self._order.popleft()]
            if isinstance(outcome, Dropped):
                self._dropped[outcome.reason] += 1
            else:
                self._delivered += 1
                self._within += outcome.within
