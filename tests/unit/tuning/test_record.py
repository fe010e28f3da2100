"""A recorded profile is written anew when the device alone is clearly otherwise, for minutes, and seldom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.observed import BatchCount, ObservedStage, ProfilePoint
from framepilot.resources.meta import ObjectMeta
from framepilot.resources.profile import ModelProfile
from framepilot_operator.cluster.port import Snapshot, WriteProfile
from framepilot_operator.decision import decide
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.planning.measured import unrecorded
from framepilot_operator.planning.profile import ModuleProfile, from_observed
from framepilot_operator.tuning.memory import TunerMemory
from framepilot_operator.tuning.record import LASTING_S, REST_S, Record, followed
from support.snapshots import module, observed, snapshot

TICK_S = 10.0


def points(ms: float, *sizes: int) -> tuple[ProfilePoint, ...]:
    return tuple(ProfilePoint(batch=size, p50_ms=ms * size, p99_ms=2 * ms * size) for size in sizes)


def record_of(ms: float, *sizes: int) -> ModelProfile:
    """What was recorded of an instance whose batches took so long for each item."""
    found = module().model_copy(update={"profile": points(ms, *sizes), "engine": "torch"})
    (made,) = unrecorded("cameras", observed(modules=[found]), [])
    return made


def taking(ms: float, *sizes: int) -> ModuleProfile:
    found = from_observed(points(ms, *sizes))
    assert found is not None
    return found


def written(
    profile: ModelProfile, alone: Callable[[float], ModuleProfile | None], seconds: float
) -> list[tuple[float, ModelProfile]]:
    """What was written when, if each was written at once."""
    record: Record | None = None
    found = []
    for now in range(0, int(seconds), int(TICK_S)):
        record = followed(record, profile, alone(now), now)
        if record.anew is not None:
            found.append((float(now), record.anew))
            profile = record.anew
    return found


def test_what_lasts_is_written_once_and_as_it_is() -> None:
    ((at, found),) = written(record_of(10, 1, 4), lambda _: taking(5, 1, 4), 7200)
    assert at == REST_S
    assert [(point.batch, point.p50, point.p99) for point in found.spec.points] == [
        (1, "5ms", "10ms"),
        (4, "20ms", "40ms"),
    ]
    assert found.measured
    assert found.key == record_of(10, 1).key
    assert (found.spec.engine, found.spec.sha256) == ("torch", record_of(10, 1).spec.sha256)


@given(st.floats(1 / 1.14, 1.14))
def test_what_is_within_the_dead_band_is_not_written(times: float) -> None:
    assert not written(record_of(10, 1, 4), lambda _: taking(10 * times, 1, 4), 3600)


def test_what_does_not_last_or_is_not_alone_on_the_device_is_not_written() -> None:
    profile, other, same = record_of(10, 1, 4), taking(20, 1, 4), taking(10, 1, 4)
    assert not written(profile, lambda now: same if now % LASTING_S == 0 else other, 3600)
    assert not written(profile, lambda now: None if now % LASTING_S == 0 else other, 3600)
    assert not written(profile, lambda _: None, 3600)


@given(st.lists(st.sampled_from([None, 2.0, 10.0, 50.0]), min_size=1, max_size=40))
def test_it_is_written_seldom_whatever_the_device_does(minutes: list[float | None]) -> None:
    def alone(now: float) -> ModuleProfile | None:
        ms = minutes[int(now // 60) % len(minutes)]
        return None if ms is None else taking(ms, 1, 4)

    times = [at for at, _ in written(record_of(10, 1, 4), alone, 7200)]
    assert all(later - earlier >= REST_S for earlier, later in zip([0.0, *times], times, strict=False))


def test_what_another_instance_wrote_is_left_alone_for_as_long() -> None:
    mine, theirs = record_of(10, 1), record_of(30, 1)
    record = followed(None, mine, taking(5, 1), 0)
    for now in range(0, int(REST_S), int(TICK_S)):
        record = followed(record, mine, taking(5, 1), now)
    record = followed(record, theirs, taking(5, 1), REST_S)
    record = followed(record, theirs, taking(5, 1), REST_S + LASTING_S)
    assert record.anew is None


def test_what_could_not_be_written_is_tried_again_after_as_long() -> None:
    profile, times = record_of(10, 1), []
    record: Record | None = None
    for now in range(0, 3600, int(TICK_S)):
        record = followed(record, profile, taking(5, 1), now)
        times += [now] if record.anew is not None else []
    assert 1 < len(times) <= 3600 / REST_S


def test_a_clock_that_is_set_back_begins_anew() -> None:
    record = followed(followed(None, record_of(10, 1), taking(5, 1), 1000), record_of(10, 1), taking(5, 1), 10)
    assert (record.since, record.anew) == (10, None)


def test_a_size_that_this_instance_does_not_know_is_off_like_its_largest() -> None:
    ((_, found),) = written(record_of(10, 1, 4, 8), lambda _: taking(5, 1, 4), 7200)
    assert [point.p50 for point in found.spec.points] == ["5ms", "20ms", "40ms"]


def at(
    now: float, seconds_each: float, profiles: tuple[ModelProfile, ...], stages: tuple[ObservedStage, ...] = ()
) -> Snapshot:
    """An instance that measured 10 ms an item at loading, and has run ten batches of 8 a second since."""
    count = int(10 * now)
    found = module().model_copy(
        update={
            "profile": points(10, 1, 8),
            "engine": "torch",
            "batches": (BatchCount(size=8, count=count, seconds=count * seconds_each),),
        }
    )
    before = snapshot(state=observed(modules=[found]).model_copy(update={"stages": stages}))
    (instance,) = before.instances
    return replace(before, instances=(replace(instance, observed_at=now),), profiles=profiles)


def passes(seconds_each: float, profile: ModelProfile, *stages: ObservedStage) -> list[ModelProfile]:
    """What an operator writes of profiles in 25 minutes."""
    memory: Mapping[Owner, TunerMemory] = {}
    profiles, found = (profile,), []
    for now in range(1, 1500, 4):
        wanted = decide(at(now, seconds_each, profiles, stages), now, tuning=memory)
        memory = wanted.tuning
        for _, change in wanted.changes:
            if isinstance(change, WriteProfile):
                profiles = (change.profile,)
                found.append(change.profile)
    return found


def test_an_operator_keeps_a_measured_profile_true() -> None:
    (found,) = passes(0.04, record_of(10, 1, 8))
    assert [point.p50_ms for point in found.spec.points] == [pytest.approx(5, rel=0.01), pytest.approx(40, rel=0.01)]
    assert not passes(0.08, record_of(10, 1, 8))
    # Measured at loading and since, and recorded by an earlier run that took longer.
    (corrected,) = passes(0.08, record_of(20, 1, 8))
    assert [point.p50_ms for point in corrected.spec.points] == [pytest.approx(10), pytest.approx(80)]


def test_what_runs_in_part_for_others_as_well_says_nothing_of_a_profile() -> None:
    owner = module()
    shared = ObservedStage(modules=("another/service/face", f"{owner.service}/{owner.name}"))
    assert not passes(0.04, record_of(10, 1, 8), shared)


def test_an_operator_leaves_a_persons_profile_as_it_is() -> None:
    found = record_of(20, 1, 8)
    theirs = found.model_copy(update={"metadata": ObjectMeta(name="by-hand", namespace="cameras")})
    assert not passes(0.04, theirs)
