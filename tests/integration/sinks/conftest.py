"""A service's sinks, fed as a stream feeds them, in front of real receivers."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from framepilot.contract.desired import DesiredSink
from framepilot.contract.events import FrameId
from framepilot_app.credentials import Credentials
from framepilot_app.frames import Delivered, Frame
from framepilot_app.sinks.fanout import Fanout
from framepilot_app.sinks.rounds import Rounds
from support.eventually import eventually

PICTURE = np.zeros((2, 2, 3), np.uint8)
PORTION = 1000
"""Less than memory has room for."""


class Feed:
    """The sinks of the service `site/lobby` with one declared sink `out`; frames of its stream `door`."""

    def __init__(self, folder) -> None:
        self.credentials = folder / "credentials"
        self.credentials.mkdir()
        self._spools = folder / "spools"
        self._fanout = Fanout("site/lobby", self._spools, lambda: None, lambda *_: None, Rounds())
        self.offered = 0

    def declare(self, **fields) -> None:
        self._fanout.follow((DesiredSink(name="out", **fields),), Credentials(self.credentials))

    def restart(self, **fields) -> None:
        """End as the app does, and begin anew with the same folders."""
        self.close()
        self._fanout = Fanout("site/lobby", self._spools, lambda: None, lambda *_: None, Rounds())
        self.declare(**fields)

    def send(self, count: int = 1) -> None:
        """The next frames."""
        for sequence in range(self.offered, self.offered + count):
            frame = Frame(FrameId("site/lobby", "door", 1, sequence), PICTURE, 0, 0, 1, enforced=False, priority=50)
            self._fanout.emit(Delivered(frame, (), 1.0))
        self.offered += count

    def spool(self, count: int) -> None:
        """The next frames, no faster than the spool's disk takes them."""
        for _ in range(count // PORTION):
            self.send(PORTION)
            eventually(lambda: self.sink().waiting - self.sink().spooled <= 2 * PORTION, "events to be moved to disk")

    def sink(self):
        """What `/status` would say of it; its account balances whenever one looks."""
        (sink,) = self._fanout.observed()
        assert sink.offered == sink.written + sum(sink.dropped.values()) + sink.waiting
        return sink

    def written(self, count: int) -> None:
        eventually(lambda: self.sink().written >= count, f"{count} events to be written; {self.sink()}")

    def reaches(self, state) -> str:
        """Wait for a state; its reason."""
        eventually(lambda: self.sink().state is state, f"{state}; {self.sink()}")
        return self.sink().reason

    def close(self) -> None:
        asyncio.run(self._fanout.close())


@pytest.fixture
def feed(tmp_path):
    feed = Feed(tmp_path)
    yield feed
    feed.close()
