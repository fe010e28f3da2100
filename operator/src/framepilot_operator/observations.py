"""What `/status` said over a whole run, kept by process life, and how many frames each source gave.

Counters on `/status` begin anew with every process, so they are kept apart by the process's start and summed. The
frames that a source gave are taken from the most independent witness there is: for a file that was read to its end,
its number of frames as somebody else counted them; otherwise the highest sequence seen at the sink or the number that
the process said it had ingested, whichever is larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from framepilot.contract.desired import DesiredStream
from framepilot.contract.observed import ObservedModule, ObservedState, ObservedStream, StreamState
from framepilot_operator.changes import ModuleKey
from framepilot_operator.cluster.port import Instance, Snapshot
from framepilot_operator.ledger import Ledger, StreamKey
from framepilot_operator.manifests.owner import Owner


class Life(NamedTuple):
    """One process of one instance."""

    instance: Owner
    started_at: float


@dataclass(slots=True)
class Opening:
    """One epoch of one stream. `whole` once its source was read to the end."""

    source: DesiredStream
    life: Life
    whole: bool = False


@dataclass(slots=True)
class Observations:
    """The latest of every stream and module, by process life, and every opening of every source that was observed."""

    streams: dict[StreamKey, dict[Life, ObservedStream]] = field(default_factory=dict)
    modules: dict[ModuleKey, dict[Life, ObservedModule]] = field(default_factory=dict)
    openings: dict[StreamKey, dict[int, Opening]] = field(default_factory=dict)

    def look(self, snapshot: Snapshot) -> None:
        """Take one more snapshot."""
        for instance in snapshot.instances:
            if instance.observed is not None:
                self._look_at(instance, instance.observed)

    def _look_at(self, instance: Instance, observed: ObservedState) -> None:
        life = Life(instance.owner, observed.started_at)
        for module in observed.modules:
            self.modules.setdefault((module.service, module.name), {})[life] = module
        sources = _sources(instance)
        for stream in observed.streams:
            key = (stream.service, stream.name)
            self.streams.setdefault(key, {})[life] = stream
            if stream.epoch is not None and key in sources:
                self._opened(key, stream, Opening(sources[key], life))

    def _opened(self, key: StreamKey, stream: ObservedStream, seen: Opening) -> None:
        openings = self.openings.setdefault(key, {})
        if stream.epoch is None:
            return
        for epoch, earlier in openings.items():
            # A loop opens the file again when it was read to its end.
            if epoch < stream.epoch and earlier.source == seen.source and earlier.life == seen.life:
                earlier.whole = earlier.whole or seen.source.loop
        opening = openings.setdefault(stream.epoch, seen)
        opening.whole = opening.whole or stream.state is StreamState.ENDED

    def countable(self) -> frozenset[str]:
        """The sources whose frames can be counted independently: files of which every frame is read."""
        return frozenset(
            opening.source.source
            for openings in self.openings.values()
            for opening in openings.values()
            if opening.whole and _every_frame_is_read(opening.source)
        )

    def settle(self, ledger: Ledger, counted: Mapping[str, int]) -> None:
        """Tell the ledger how many frames each source gave; `counted` is frames by source, of `countable()`."""
        for key in {*self.streams, *ledger.streams}:
            known = self.openings.get(key, {})
            for epoch, opening in _every_opening(known, ledger.stream(key).epochs).items():
                if opening.whole and opening.source.source in counted and _every_frame_is_read(opening.source):
                    ledger.stream(key).epoch(epoch).expect(counted[opening.source.source])
            for life, stream in self.streams.get(key, {}).items():
                _expect_ingested(ledger, key, stream, self._epochs_of(life, key, ledger))

    def _epochs_of(self, life: Life, key: StreamKey, ledger: Ledger) -> list[int]:
        """The epochs that a process opened: those from its start to the start of the next process."""
        later = [other.started_at for other in self.streams[key] if other.started_at > life.started_at]
        end = min(later, default=float("inf"))
        known = {*ledger.stream(key).epochs, *self.openings.get(key, {})}
        return sorted(epoch for epoch in known if life.started_at * 1000 <= epoch < end * 1000)

    def in_flight(self, key: StreamKey) -> int:
        """Frames of a stream that were under way when its latest process was looked at last."""
        lives = self.streams.get(key, {})
        return lives[max(lives, key=lambda life: life.started_at)].frames.in_flight if lives else 0


def _sources(instance: Instance) -> dict[StreamKey, DesiredStream]:
    if instance.desired is None:
        return {}
    return {
        (pipeline.service, stream.name): stream
        for pipeline in instance.desired.pipelines
        for stream in pipeline.streams
    }


def _every_frame_is_read(source: DesiredStream) -> bool:
    """A cap on the rate leaves frames of a file out, if the file is paced by its clock."""
    return source.source.startswith("file://") and (source.fps is None or not source.realtime)


def _every_opening(known: Mapping[int, Opening], arrived: Iterable[int]) -> dict[int, Opening]:
    """The known openings, and those of a short loop that began and ended between two looks."""
    every = dict(known)
    for epoch in arrived:
        around = [known[other] for other in sorted(known) if other < epoch][-1:]
        after = [known[other] for other in sorted(known) if other > epoch][:1]
        if epoch not in known and around and after and around[0].source == after[0].source and around[0].whole:
            every[epoch] = around[0]
    return every


def _expect_ingested(ledger: Ledger, key: StreamKey, stream: ObservedStream, epochs: list[int]) -> None:
    if not epochs:
        return
    last = ledger.stream(key).epoch(epochs[-1])
    given = sum(ledger.stream(key).epoch(epoch).given for epoch in epochs)
    if stream.frames.ingested > given:
        last.expect(last.given + stream.frames.ingested - given)
