"""One thread that goes round some writers, and does for each what can be done now.

A hundred services that write files have a hundred outboxes, and each frame of a camera that they all see puts an event
into every one of them. A thread for each would be woken a hundred times, and wait for Python's lock longer than it
writes.
"""

from __future__ import annotations

import threading
import time
from math import inf
from typing import Protocol


class Turn(Protocol):
    """One of those it goes round to."""

    def step(self) -> float | None:
        """Do what can be done now; it handles its own errors.

        Returns:
            when to come again, monotonic seconds, if it does not call before; None: never, it is done.
        """


class Round:
    """Thread-safe. The thread is there while anybody takes turns."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._due: dict[Turn, float] = {}
        self._called: dict[Turn, None] = {}
        self._asleep = False

    def begin(self, turn: Turn) -> None:
        """It takes turns from now on."""
        with self._changed:
            first = not self._due
            self._due[turn] = -inf
            self._wake()
        if first:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def call(self, turn: Turn) -> None:
        """There may be something to be done for one of those that take turns; who takes none any more is not kept."""
        with self._changed:
            if turn in self._due:
                self._called[turn] = None
                self._wake()

    def _wake(self) -> None:
        """Once, however many call before it is awake."""
        if self._asleep:
            self._asleep = False
            self._changed.notify()

    def _run(self) -> None:
        while (turns := self._next()) is not None:
            for turn in turns:
                at = turn.step()
                with self._changed:
                    if at is None:
                        del self._due[turn]
                    else:
                        self._due[turn] = at

    def _next(self) -> list[Turn] | None:
        """Whose turn it is, as soon as it is anybody's; None: nobody takes turns any more."""
        with self._changed:
            while self._due:
                now = time.monotonic()
                turns = [turn for turn, at in self._due.items() if at <= now or turn in self._called]
                self._called.clear()
                if turns:
                    return turns
                self._asleep = True
                self._changed.wait(min(min(self._due.values()) - now, threading.TIMEOUT_MAX))
                self._asleep = False
            return None
