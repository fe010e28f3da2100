"""One service at run time: its streams, modules and sinks, and how they follow a declared pipeline while frames flow.

Streams and sinks come and go at once. A changed set of modules becomes a new graph as soon as every module of it has a
version that serves; until then frames go on through the old one, and a module that was removed is given back when the
last frame that is bound to it has ended.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from framepilot.contract.desired import Delivery, DesiredStream
from framepilot.contract.desired import Pipeline as DesiredPipeline
from framepilot.contract.observed import FrameCounts
from framepilot_app.control.journal import Journal
from framepilot_app.control.rollout import ModuleRollouts
from framepilot_app.credentials import NO_CREDENTIALS, Credentials
from framepilot_app.frames import Delivered, Ended, Outcome
from framepilot_app.models.model import UnavailableError
from framepilot_app.models.store import ModelStore
from framepilot_app.modules.device import DeviceThread
from framepilot_app.modules.gate import Gate
from framepilot_app.modules.graph import Graph, build
from framepilot_app.modules.headroom import Headroom
from framepilot_app.modules.inlet import Inlet
from framepilot_app.modules.lane import Lane
from framepilot_app.modules.line import Line
from framepilot_app.modules.memory import tidy_soon
from framepilot_app.modules.module import Module
from framepilot_app.modules.pipeline import Pipeline
from framepilot_app.modules.work import Workers
from framepilot_app.sinks.fanout import Fanout
from framepilot_app.sinks.newest import NewestFrames
from framepilot_app.sinks.rounds import Rounds
from framepilot_app.streams.hub import Hub, Subscription
from framepilot_app.streams.settings import ReaderSettings
from framepilot_app.streams.uri import is_live
from framepilot_app.telemetry.attainment import AttainmentWindow
from framepilot_app.telemetry.metrics import Metrics

BATCHES_IN_FLIGHT = 3
"""One on the device, one being prepared, one being decoded."""

MIN_WINDOW = 4
"""Frames that may always be in flight."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Machinery:
    """What all services of an instance share."""

    workers: Workers
    pipeline: Pipeline
    device: DeviceThread
    headroom: Headroom
    gate: Gate
    hub: Hub
    store: ModelStore
    journal: Journal
    metrics: Metrics
    spools: Path
    rounds: Rounds
    newest: NewestFrames
    credentials: Credentials = NO_CREDENTIALS


@dataclass(eq=False, slots=True)
class Stream:
    """A declared stream at run time; `subscription` is None until the first graph is there."""

    declared: DesiredStream
    inlet: Inlet
    subscription: Subscription | None = None


@dataclass(eq=False, slots=True)
class ServedModule:
    """A module and what rolls its versions out."""

    module: Module
    rollouts: ModuleRollouts


@dataclass(slots=True)
class PastFrames:
    """What removed streams had counted, so that totals never go back."""

    ingested: int = 0
    delivered: int = 0
    within: int = 0
    still: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, counts: FrameCounts) -> None:
        """A removed stream's line is empty."""
        self.ingested += counts.ingested
        self.delivered += counts.delivered
        self.within += counts.within
        self.still += counts.still
        self.dropped.update(counts.dropped)

    def ended(self) -> Ended:
        """What of them an objective is judged by."""
        return Ended.of(self.delivered, self.within, self.dropped)

    def counts(self) -> FrameCounts:
        """The account; nothing of it is in flight."""
        return FrameCounts(
            ingested=self.ingested,
            delivered=self.delivered,
            within=self.within,
            still=self.still,
            dropped=dict(self.dropped),
        )


class Service:
    """Changed on the event loop only; frames flow on other threads."""

    def __init__(self, declared: DesiredPipeline, machinery: Machinery) -> None:
        self.name = declared.service
        self.declared = declared
        self.streams: dict[str, Stream] = {}
        self.modules: dict[str, ServedModule] = {}
        self.past = PastFrames()
        self.attainment = AttainmentWindow()
        self.leaving: list[Stream] = []
        self._machinery = machinery
        # Readers on their way out: until they are gone, one more frame may come.
        self._stopping: list[threading.Thread] = []
        self.sinks = Fanout(
            declared.service, machinery.spools, self._room_at_sinks, machinery.metrics.written, machinery.rounds
        )
        self._graph: Graph | None = None
        self._checked: Graph | None = None
        """The graph, if it is known to be what is declared now: that is asked many times a second."""
        self._retiring: list[tuple[Graph, tuple[Module, ...]]] = []
        self.follow(declared)

    @property
    def serving(self) -> bool:
        """Whether frames flow through the declared graph."""
        if self._graph is None:
            return False
        if self._checked is not self._graph and self._current(self._graph):
            self._checked = self._graph
        return self._checked is self._graph

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """For each module that takes another one's detections in the graph that frames enter now: which one's."""
        return self._graph.inputs() if self._graph else {}

    def ended(self) -> Ended:
        """What has ended since it began; of streams that were removed, too."""
        lines = (stream.inlet.line.ended() for stream in (*self.streams.values(), *self.leaving))
        frames, within = zip(self.past.ended(), *lines, strict=True)
        return Ended(sum(frames), sum(within))

    def follow(self, declared: DesiredPipeline) -> None:
        """Take over a new declaration."""
        self.declared, self._checked = declared, None
        self.sinks.follow(declared.sinks, self._credentials)
        self._follow_modules()
        self._follow_streams(declared.streams)
        self.settle()

    def settle(self) -> None:
        """What may have become possible since: a new graph, streams to start, modules and streams to give back."""
        if not self.serving and all(
            entry.name in self.modules and self.modules[entry.name].module.lane for entry in self.declared.modules
        ):
            self._set_graph()
        if self._graph is not None:
            for stream in self.streams.values():
                if stream.subscription is None:
                    stream.subscription = self._subscribe(stream)
        self._give_back()

    async def close(self) -> None:
        """Take no more frames, deliver those in flight, flush the sinks, give the modules back."""
        for served in self.modules.values():
            served.rollouts.cancel()
        self._follow_streams(())
        for stopping in self._stopping:
            await asyncio.to_thread(stopping.join)
        for module in self.bound_modules():
            module.hurry()
        self._machinery.device.wake()
        while any(not stream.inlet.line.empty for stream in self.leaving):  # noqa: ASYNC110 on other threads
            await asyncio.sleep(0.01)
        self.settle()
        await self.sinks.close()
        for served in self.modules.values():
            served.module.retire()

    def bound_modules(self) -> tuple[Module, ...]:
        """All modules that may still have items."""
        retiring = [module for _, modules in self._retiring for module in modules]
        return (*(served.module for served in self.modules.values()), *retiring)

    def _current(self, graph: Graph) -> bool:
        declared = [(entry.name, entry.where.min_score, entry.inputs) for entry in self.declared.modules]
        inputs = graph.inputs()
        built = [(node.module.name, node.min_score, inputs.get(node.module.name, ())) for node in graph.nodes]
        return declared == built and all(self.modules[node.module.name].module is node.module for node in graph.nodes)

    def _set_graph(self) -> None:
        modules = {name: served.module for name, served in self.modules.items()}
        old, self._graph = self._graph, build(self.declared.modules, modules)
        wanted = {entry.name for entry in self.declared.modules}
        removed = tuple(self.modules.pop(name) for name in [*self.modules] if name not in wanted)
        for served in removed:
            served.rollouts.cancel()
        if old is not None:
            self._retiring.append((old, tuple(served.module for served in removed)))

    def _give_back(self) -> None:
        """Streams whose last frame has ended, and modules of graphs that no frame is bound to any more."""
        gone = [stream for stream in self.leaving if stream.inlet.line.empty]
        for stream in gone:
            self.past.add(stream.inlet.line.counts())
            self.leaving.remove(stream)
        if gone:
            tidy_soon()
        if not self._retiring:
            return
        bound = {graph for stream in (*self.streams.values(), *self.leaving) for graph in stream.inlet.line.graphs()}
        for graph, modules in [*self._retiring]:
            if graph not in bound:
                self._retiring.remove((graph, modules))
                for module in modules:
                    module.retire()

    def _follow_modules(self) -> None:
        limit_ms = self.declared.time_limit_ms
        limit_s = math.inf if limit_ms is None else limit_ms / 1000
        for entry in self.declared.modules:
            served = self.modules.get(entry.name)
            if served is None:
                module = Module(self.name, entry, self._lane_drained)
                rollouts = ModuleRollouts(
                    self.declared.uid,
                    module,
                    self._machinery.store,
                    self._machinery.device,
                    self._machinery.journal,
                    self.settle,
                    functools.partial(self._allow, entry.name),
                    self._machinery.headroom,
                )
                served = self.modules[entry.name] = ServedModule(module, rollouts)
            elif served.module.batch.model_dump(exclude={"since"}) != entry.batch.model_dump():
                served.module.set_batch(entry.batch)
                self._machinery.device.wake()
            served.module.time_limit_s = limit_s
            served.rollouts.want(entry)
        # A module that was never part of a graph has no frames to wait for.
        wanted = {entry.name for entry in self.declared.modules}
        in_graph = {node.module.name for node in self._graph.nodes} if self._graph else set()
        for name in [*self.modules]:
            if name not in wanted and name not in in_graph:
                served = self.modules.pop(name)
                served.rollouts.cancel()
                served.module.retire()

    def _allow(self, module: str, which: str, nbytes: int) -> None:
        """Refuse a model for a module with which the models of the service would have too many bytes of parameters.

        Raises:
            UnavailableError: it would; it is tried again, as the limit or another module may change.
        """
        limit = self.declared.memory_limit_bytes
        others = sum(each.rollouts.parameter_bytes for name, each in self.modules.items() if name != module)
        if limit is not None and others + nbytes > limit:
            beside = f", beside {others:,} of the service's other modules" if others else ""
            raise UnavailableError(
                which,
                f"its parameters take {nbytes:,} bytes{beside}: more than the {limit:,} of placement.memoryLimit; "
                "raise the limit, or choose smaller models",
            )

    def _lane_drained(self, lane: Lane) -> None:
        """An old version's last item is done: its memory goes back to the system once nobody refers to it."""
        log.info(
            "version released",
            extra={"service": self.name, "module_name": lane.module, "version": lane.version.spec.version},
        )
        tidy_soon()

    def _follow_streams(self, declared: tuple[DesiredStream, ...]) -> None:
        wanted = {stream.name: stream for stream in declared}
        for name, stream in [*self.streams.items()]:
            if name not in wanted or _source(wanted[name]) != _source(stream.declared):
                del self.streams[name]
                self._leave(stream)
        for name, entry in wanted.items():
            if name not in self.streams:
                self.streams[name] = Stream(entry, self._inlet(entry))
            stream = self.streams[name]
            stream.declared = entry
            stream.inlet.priority = entry.priority
            stream.inlet.motion = entry.motion
            stream.inlet.objective_s = self.declared.objective_ms / 1000

    def _leave(self, stream: Stream) -> None:
        stream.inlet.close()
        if stream.subscription is not None:
            stopping = self._machinery.hub.unsubscribe(stream.subscription)
            self._stopping = [thread for thread in (*self._stopping, stopping) if thread and thread.is_alive()]
        self.leaving.append(stream)

    def _inlet(self, entry: DesiredStream) -> Inlet:
        return Inlet(
            service=self.name,
            declared=entry,
            objective_s=self.declared.objective_ms / 1000,
            line=Line(self._emit),
            graph=self._bound_graph,
            start=self._machinery.pipeline.start,
            window=self._lossless_window if entry.delivery is Delivery.LOSSLESS else self._room,
            gate=self._machinery.gate,
        )

    @property
    def _credentials(self) -> Credentials:
        return self._machinery.credentials.within(self.declared.credentials)

    def _subscribe(self, stream: Stream) -> Subscription:
        entry = stream.declared
        settings = ReaderSettings(source=entry.source, fps=entry.fps, loop=entry.loop, realtime=entry.realtime)
        if is_live(entry.source):
            settings = replace(
                settings,
                transport=entry.transport,
                timeout_s=entry.timeout_ms / 1000,
                credentials=self._credentials,
                login_name=entry.name,
            )
        lossless = entry.delivery is Delivery.LOSSLESS
        return self._machinery.hub.subscribe(settings, stream.inlet, lossless=lossless)

    def _bound_graph(self) -> Graph:
        if self._graph is None:
            raise RuntimeError(f"{self.name}: a frame came before every module served")
        return self._graph

    def _window(self) -> int:
        """Frames of one lossless stream that may be in flight: its part of what fills every batch."""
        return max(MIN_WINDOW, self._room() // max(len(self.streams), 1))

    def _room(self) -> int:
        """Frames of all newest streams together that may be in flight: enough to fill every batch."""
        largest = max(served.module.batch.size for served in [*self.modules.values()])
        return max(MIN_WINDOW, BATCHES_IN_FLIGHT * largest)

    def _lossless_window(self) -> int:
        """The same, and none while what leaves comes faster than a sink takes it, or while a module is stopped, but for
        its trials: that is back-pressure, not loss."""
        if self.sinks.congested():
            return 0
        room, now = self._window(), time.monotonic()
        return min((served.module.room(room, now) for served in [*self.modules.values()]), default=room)

    def _emit(self, outcome: Outcome) -> None:
        """A frame leaves: to the metrics, to who looks at its stream, and to every sink that wants it."""
        if isinstance(outcome, Delivered):
            self._machinery.metrics.delivered(outcome)
        self._machinery.newest.emit(outcome)
        self.sinks.emit(outcome)

    def _room_at_sinks(self) -> None:
        for stream in [*self.streams.values()]:
            stream.inlet.look_again()


def _source(declared: DesiredStream) -> DesiredStream:
    """What a stream has to be opened anew for, if it changes: all but its priority and motion."""
    return declared.model_copy(update={"priority": 0, "motion": None})
