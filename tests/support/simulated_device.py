"""A device with one module, simulated: the batcher is the real one, time and durations are a test's.

It says what a real instance says, and runs what it was told, so a tuner can be asked what it makes of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from framepilot.contract.desired import Batch, DesiredModule, DesiredStream, ModelRef, Pipeline
from framepilot.contract.observed import (
    BatchCount,
    FrameCounts,
    ObservedState,
    ObservedStream,
    ProfilePoint,
    StreamState,
)
from framepilot.resources.parse import parse_resource
from framepilot.resources.service import InferenceService
from framepilot.scheduling import batcher
from framepilot.scheduling.batcher import BatchPolicy, Drop, Run, Waiting, WaitUntil, decide
from framepilot.scheduling.latency import LatencyModel, batch_sizes
from framepilot_operator.planning.profile import from_observed
from framepilot_operator.planning.rates import item_rates
from framepilot_operator.tuning.memory import Look, TunerMemory
from framepilot_operator.tuning.policy import Change, Decision, tune
from support.snapshots import SERVICE, UID, module, observed

OF_TIME = Callable[[float], float]
RULE = Callable[[Waiting, float, LatencyModel, BatchPolicy], batcher.Decision]
ROOM = 128
"""Items that may wait; of frames beyond that there are none, as at a gate."""


def service(latency: str = "200ms", streams: int = 4, **batching: object) -> InferenceService:
    document = {
        "apiVersion": "framepilot.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "lobby", "namespace": "cameras"},
        "spec": {
            "streams": [{"name": f"s{number}", "source": "test://64x64"} for number in range(streams)],
            "modules": [{"name": "face", "model": {"name": "centerface", "version": "1"}}],
            "models": {"store": "file:///models"},
            "objective": {"latency": latency},
            "batching": {"mode": "Auto", "min": 1, "max": 32, **batching},
        },
    }
    found = parse_resource(document, "test")
    assert isinstance(found, InferenceService)
    return found


def pipeline(service: InferenceService, uid: str, told: Batch) -> Pipeline:
    """What an instance is told of it."""
    ref = ModelRef(name="centerface", version="1", uri="file:///m")
    streams = tuple(DesiredStream(name=each.name, source=each.source) for each in service.spec.streams)
    modules = (DesiredModule(name="face", budget_ms=100, batch=told, model=ref),)
    objective_ms = service.spec.objective.latency_ms
    return Pipeline(service=service.key, uid=uid, objective_ms=objective_ms, streams=streams, modules=modules)


def linear_ms(size: int) -> float:
    """What a batch takes on the device when it is alone on it."""
    return 8.0 + 2.0 * size


@dataclass
class SimulatedDevice:
    """`fps` is that of all streams together, `slow` how many times as long as alone batches take, both by time.

    `arrivals` are the times of items, in place of an even `fps`. `rule` is what decides on a batch, `ran` is told its
    size and seconds, `largest` is the largest that was measured. With each frame come so many that are `still` and not
    to be run. `latencies_s` are those of all items that were served, or lost (infinite).
    """

    service: InferenceService = field(default_factory=service)
    fps: OF_TIME = lambda _: 60.0
    slow: OF_TIME = lambda _: 1.0
    noise: float = 0.05
    alone_ms: Callable[[int], float] = linear_ms
    others: OF_TIME | None = None
    digest: str = "a" * 64
    random: Random = field(default_factory=lambda: Random(1))
    largest: int = 32
    still: int = 0
    arrivals: Iterator[float] | None = None
    rule: RULE = decide
    ran: Callable[[int, float], None] = lambda _size, _seconds: None
    told: Batch = field(default_factory=lambda: Batch(size=1, limit=32))
    now: float = 1000.0
    memory: TunerMemory | None = None
    decisions: list[Decision] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.next_arrival = self.now if self.arrivals is None else next(self.arrivals)
        self.waiting: list[float] = []
        self.latencies_s: list[float] = []
        self.frames = self.left_alone = self.arrived = self.served = 0
        self.busy_s = 0.0
        self.swap(self.alone_ms, self.digest)

    def swap(self, alone_ms: Callable[[int], float], digest: str) -> None:
        """Another version serves from now on."""
        self.alone_ms, self.digest = alone_ms, digest
        self.batches: dict[int, tuple[int, float]] = {}
        self.latency = LatencyModel.measured((size, alone_ms(size) / 1000) for size in batch_sizes(self.largest))

    def run(self, seconds: float, every: float = 1.0) -> None:
        """Serve, and be looked at now and then."""
        until = self.now + seconds
        while self.now < until:
            self.serve(self.now + every)
            self.look()

    def serve(self, until: float) -> None:
        objective_s = self.service.spec.objective.latency_ms / 1000
        while self.now < until:
            self._arrive()
            sizes = batch_sizes(self.told.size)
            arrivals = [at - self.now for at in self.waiting]
            deadlines = [at + objective_s for at in arrivals]
            queue = Waiting(arrivals, deadlines, [False] * len(arrivals))
            decision = self.rule(queue, 0.0, self.latency, BatchPolicy(sizes, self.told.max_wait_ms / 1000))
            if isinstance(decision, Run):
                self._run(decision.size)
            elif isinstance(decision, Drop):
                self._drop(decision.items)
            elif isinstance(decision, WaitUntil):
                self.now = min(max(self.now + decision.time, self.now + 1e-6), self.next_arrival, until)

    def look(self) -> Decision:
        """One pass of an operator."""
        state = self.state()
        profile = from_observed(state.modules[0].profile)
        assert profile is not None
        rates = item_rates(self.service, {})
        look = Look(
            services=((self.service, UID),),
            told={SERVICE: pipeline(self.service, UID, self.told)},
            observed=state,
            at=self.now,
            profiles={(SERVICE, "face"): profile},
            rates=rates,
            others=None if self.others is None else self.others(self.now),
        )
        decision, self.memory = tune(look, self.memory, self.now)
        self.decisions.append(decision)
        (planned,) = decision.plans[SERVICE].modules
        if planned.batch != self.told:
            assert isinstance(decision, Change)
            self.told = planned.batch
            self.changes.append((self.now, planned.batch.size))
        return decision

    def state(self) -> ObservedState:
        counts = tuple(
            BatchCount(size=size, count=count, seconds=seconds) for size, (count, seconds) in self.batches.items()
        )
        points = tuple(
            ProfilePoint(batch=size, p50_ms=self.alone_ms(size), p99_ms=1.1 * self.alone_ms(size))
            for size in batch_sizes(self.largest)
        )
        face = module(self.told.size, items=self.served).model_copy(
            update={"batches": counts, "arrived": self.arrived, "profile": points}
        )
        face = face.model_copy(
            update={"serving": face.serving and face.serving.model_copy(update={"sha256": self.digest})}
        )
        stream = ObservedStream(
            service=SERVICE,
            name="s0",
            source="test://64x64",
            state=StreamState.RUNNING,
            frames=FrameCounts(ingested=self.frames, delivered=self.frames - self.left_alone, still=self.left_alone),
        )
        return observed(modules=[face], streams=[stream])

    def _arrive(self) -> None:
        while self.next_arrival <= self.now:
            self.frames += 1 + self.still
            self.left_alone += self.still
            if len(self.waiting) < ROOM:
                self.arrived += 1
                self.waiting.append(self.next_arrival)
            else:
                self.latencies_s.append(math.inf)
            if self.arrivals is None:
                self.next_arrival += 1 / self.fps(self.next_arrival)
            else:
                self.next_arrival = next(self.arrivals, math.inf)

    def _run(self, size: int) -> None:
        took = self.alone_ms(size) / 1000 * self.slow(self.now) * math.exp(self.random.gauss(0, self.noise))
        count, seconds = self.batches.get(size, (0, 0.0))
        self.batches[size] = (count + 1, seconds + took)
        self.latency = self.latency.observed(size, took)
        self.busy_s += took
        self.served += size
        self.now += took
        self.latencies_s += [self.now - at for at in self.waiting[:size]]
        del self.waiting[:size]
        self.ran(size, took)

    def _drop(self, items: tuple[int, ...]) -> None:
        self.waiting = [at for position, at in enumerate(self.waiting) if position not in items]
        self.latencies_s += [math.inf] * len(items)
