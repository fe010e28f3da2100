"""Services that share a device are tuned together: what is best for one of them is not for all."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from framepilot.contract.desired import Batch
from framepilot.contract.observed import (
    BatchCount,
    FrameCounts,
    ObservedPipeline,
    ObservedStage,
    ProfilePoint,
    StagePoint,
)
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
    """One device with two services, of one module each, whose batches are full; `fps` and `slow` may be changed.

    `common`: what part of their models runs once for both, 0..1; it is charged to them by halves.
    """

    services: dict[str, InferenceService] = field(
        default_factory=lambda: {TIGHT: named(TIGHT, "100ms"), LOOSE: named(LOOSE, "2s")}
    )
    fps: dict[str, float] = field(default_factory=lambda: {TIGHT: 20.0, LOOSE: 60.0})
    slow: float = 1.0
    common: float = 0.0
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
                self.counts[key][size] = (count + batches, busy_s + batches * self.batch_ms(size) / 1000)
                self.items[key] += fps
            decision = self.look()
        return decision

    def batch_ms(self, size: int) -> float:
        """What a module is charged with."""
        return self.slow * linear_ms(size) * (1 - self.common / 2)

    @property
    def stages(self) -> tuple[ObservedStage, ...]:
        points = tuple(StagePoint(pictures=each.batch, ms=self.common * each.p50_ms) for each in POINTS)
        modules = tuple(f"{key}/face" for key in sorted(self.services))
        shares = (self.common,) * len(modules)
        found = ObservedStage(modules=modules, nodes=9, share=self.common, shares=shares, points=points)
        return (found,) if self.common else ()

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
        state = observed(modules=modules, streams=streams).model_copy(
            update={"pipelines": tuple(pipelines), "stages": self.stages}
        )
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


def test_what_two_services_share_holds_an_objective_from_the_first_look_on():
    both = {key: named(key, "18ms") for key in (TIGHT, LOOSE)}
    assert not any(plan.feasible for plan in Shared(services=both).run(1).plans.values())
    device = Shared(services=both, fps={TIGHT: 20.0, LOOSE: 20.0}, common=0.9)
    for second in range(30):
        decision = device.run(1)
        assert all(plan.feasible for plan in decision.plans.values()), second
        assert sum(1.1 * device.batch_ms(size) for size in device.sizes.values()) <= 0.84 * 18


def test_what_two_services_share_is_room_for_larger_batches_and_taken_off_once():
    both = {key: named(key, "40ms") for key in (TIGHT, LOOSE)}
    fps = {TIGHT: 250.0, LOOSE: 250.0}
    apart, together = Shared(services=both, fps=fps), Shared(services=both, fps=fps, common=0.9)
    apart.run(30)
    decision = together.run(30)
    assert sum(apart.sizes.values()) < sum(together.sizes.values())
    cycle_ms = sum(1.1 * together.batch_ms(size) for size in together.sizes.values())
    assert cycle_ms <= 32
    for plan in decision.plans.values():
        assert plan.cycle_ms == pytest.approx(cycle_ms, rel=0.2)
