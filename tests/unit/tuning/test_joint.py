"""Services that share a device are tuned together: what is best for one of them is not for all."""

from __future__ import annotations

from dataclasses import dataclass, field

from framepilot.contract.desired import Batch
from framepilot.contract.observed import BatchCount, FrameCounts, ObservedPipeline, ProfilePoint
from framepilot.resources.service import InferenceService
from framepilot.scheduling.latency import batch_sizes
from framepilot_operator.planning.profile import from_observed
from framepilot_operator.tuning.memory import Look, TunerMemory
from framepilot_operator.tuning.policy import Decision, tune
from support.simulated_device import linear_ms, pipeline, service
from support.snapshots import module, observed, stream

TIGHT, LOOSE = "cameras/tight", "cameras/loose"
POINTS = tuple(
    ProfilePoint(batch=size, p50_ms=linear_ms(size), p99_ms=1.1 * linear_ms(size)) for size in batch_sizes(32)
)


def named(key: str, latency: str) -> InferenceService:
    found = service(latency, 1)
    return found.model_copy(update={"metadata": found.metadata.model_copy(update={"name": key.rpartition("/")[2]})})


@dataclass
class Shared:
    """One device with two services, of one module each, whose batches are full; `fps` and `slow` may be changed."""

    services: dict[str, InferenceService] = field(
        default_factory=lambda: {TIGHT: named(TIGHT, "100ms"), LOOSE: named(LOOSE, "2s")}
    )
    fps: dict[str, float] = field(default_factory=lambda: {TIGHT: 20.0, LOOSE: 60.0})
    slow: float = 1.0
    now: float = 1000.0
    memory: TunerMemory | None = None

    def __post_init__(self) -> None:
        self.told = {key: Batch(size=1, limit=32) for key in self.services}
        self.counts: dict[str, dict[int, tuple[float, float]]] = {key: {} for key in self.services}
        self.items = dict.fromkeys(self.services, 0.0)

    @property
    def sizes(self) -> dict[str, int]:
        return {key: batch.size for key, batch in self.told.items()}

    def run(self, seconds: int) -> Decision:
        for _ in range(seconds):
            self.now += 1
            for key, fps in self.fps.items():
                size = self.told[key].size
                count, busy_s = self.counts[key].get(size, (0.0, 0.0))
                batches = fps / size
                self.counts[key][size] = (count + batches, busy_s + batches * self.slow * linear_ms(size) / 1000)
                self.items[key] += fps
            decision = self.look()
        return decision

    def look(self) -> Decision:
        modules, streams, pipelines = [], [], []
        for key, counts in self.counts.items():
            arrived = int(self.items[key])
            batches = tuple(
                BatchCount(size=size, count=int(count), seconds=int(count) * busy_s / count)
                for size, (count, busy_s) in counts.items()
            )
            face = module(self.told[key].size)
            update = {"service": key, "profile": POINTS, "batches": batches, "arrived": arrived}
            modules.append(face.model_copy(update=update))
            frames = FrameCounts(ingested=arrived, delivered=arrived)
            streams.append(stream(name="s0").model_copy(update={"service": key, "frames": frames}))
            pipelines.append(ObservedPipeline(service=key, uid=key))
        state = observed(modules=modules, streams=streams).model_copy(update={"pipelines": tuple(pipelines)})
        profile = from_observed(POINTS)
        assert profile is not None
        look = Look(
            services=tuple((each, key) for key, each in self.services.items()),
            told={key: pipeline(each, key, self.told[key]) for key, each in self.services.items()},
            observed=state,
            at=self.now,
            profiles={(key, "face"): profile for key in self.services},
            rates={},
        )
        decision, self.memory = tune(look, self.memory, self.now)
        self.told = {key: plan.modules[0].batch for key, plan in decision.plans.items()}
        return decision


def cycle_ms(device: Shared) -> float:
    """The longest that somebody waits for the device: a batch of each."""
    return sum(1.1 * device.slow * linear_ms(size) for size in device.sizes.values())


def test_the_loosest_objective_does_not_make_others_wait_for_large_batches():
    alone = Shared(services={LOOSE: named(LOOSE, "2s")}, fps={LOOSE: 60.0})
    alone.run(30)
    both = Shared()
    both.run(30)
    assert alone.sizes[LOOSE] == 32
    assert both.sizes[LOOSE] < 32
    assert cycle_ms(both) <= 100


def test_a_device_that_became_slower_changes_whoever_saves_the_tight_objective():
    device = Shared()
    device.run(30)
    before = device.sizes
    device.slow = 2.0
    decision = device.run(30)
    assert device.sizes[LOOSE] < before[LOOSE]
    assert cycle_ms(device) <= 100
    assert all(plan.feasible for plan in decision.plans.values())


def test_more_items_of_one_service_take_room_from_the_other():
    device = Shared()
    device.run(30)
    before = device.sizes
    assert before[LOOSE] > before[TIGHT]
    device.fps = {TIGHT: 200.0, LOOSE: 10.0}
    device.run(60)
    assert device.sizes[TIGHT] > before[TIGHT]
    assert device.sizes[LOOSE] < before[LOOSE]
    assert cycle_ms(device) <= 100
