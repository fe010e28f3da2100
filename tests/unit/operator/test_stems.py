"""What modules have in common counts once in a plan: for those that have the same pictures, until it is learnt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.observed import (
    BatchCount,
    ObservedPipeline,
    ObservedStage,
    ObservedState,
    ProfilePoint,
    StagePoint,
)
from framepilot.resources.parse import parse_resource
from framepilot.resources.service import InferenceService
from framepilot.scheduling.latency import LatencyModel
from framepilot_operator.cluster.port import DeclaredService, Instance, Snapshot
from framepilot_operator.decision import decide
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.planning.profile import ModuleProfile, from_observed
from framepilot_operator.planning.stems import Stem, counted_once, stems
from support.snapshots import declared_runtime, module, observed

CAMERA = {"name": "door", "source": "rtsp://door/main", "fps": 10}
A, B, C = ("cameras/a", "face"), ("cameras/b", "face"), ("cameras/c", "face")
RUNTIME = Owner.runtime("cameras/shared")
STAGE_MS = 18.0
SIZES = (1, 2, 4, 8)


def service(name: str, *cameras: dict[str, object], modules: list[dict[str, object]] | None = None, **spec: object):
    document = {
        "apiVersion": "framepilot.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "cameras"},
        "spec": {
            "streams": list(cameras or (CAMERA,)),
            "modules": modules or [{"name": "face", "model": {"name": name, "version": "1"}}],
            "models": {"store": "file:///models"},
            "objective": {"latency": "40ms"},
            "placement": {"runtimeRef": {"name": "shared"}},
            **spec,
        },
    }
    found = parse_resource(document, "test")
    assert isinstance(found, InferenceService)
    return found


def running(*services: InferenceService, shared: bool = True, **changes: object) -> ObservedState:
    """All modules serve, each takes 20 ms, of which 18 are one stage of all; `changes` are those of the modules."""
    points = tuple(ProfilePoint(batch=size, p50_ms=20.0 * size, p99_ms=20.0 * size) for size in SIZES)
    modules = [
        module(1).model_copy(update={"service": each.key, "name": one.name, "profile": points, **changes})
        for each in services
        for one in each.spec.modules
    ]
    names = tuple(f"{each.service}/{each.name}" for each in modules)
    stage = ObservedStage(
        modules=names,
        nodes=9,
        share=0.9,
        shares=(0.9,) * len(names),
        points=tuple(StagePoint(pictures=size, ms=STAGE_MS * size) for size in SIZES),
    )
    pipelines = tuple(ObservedPipeline(service=each.key, uid=each.key) for each in services)
    state = observed(modules=modules).model_copy(update={"pipelines": pipelines})
    return state.model_copy(update={"stages": (stage,)}) if shared else state


def found(*services: InferenceService, **changes: object) -> list[set[tuple[str, str]]]:
    every = stems([(each, each.key) for each in services], running(*services, **changes))
    return [set(stem.shares) for stem in every]


def profile(*points: tuple[int, float], tail: float = 1.0) -> ModuleProfile:
    made = from_observed([ProfilePoint(batch=size, p50_ms=ms, p99_ms=tail * ms) for size, ms in points])
    assert made is not None
    return made


def stem(*keys: tuple[str, str], ms: float = STAGE_MS, share: float = 0.9, least: int = 1) -> Stem:
    latency = LatencyModel.measured((size, ms * size / 1000) for size in SIZES)
    return Stem(dict.fromkeys(keys, share), latency, least)


LINEAR = profile(*((size, 20.0 * size) for size in SIZES))


def decided(state: ObservedState, *services: InferenceService):
    """The first look of an operator at an instance that runs these services."""
    snapshot = Snapshot(
        services=tuple(DeclaredService(each, uid=each.key, generation=1, changed_at=0) for each in services),
        runtimes=(declared_runtime("shared"),),
        instances=(Instance(RUNTIME, "uid of shared", desired=None, observed=state, running=True),),
    )
    return {facts.service.key: facts.plan for facts in decide(snapshot, 1000).facts}


def test_two_services_that_share_nearly_all_of_their_time_are_feasible_together_and_use_the_device_once():
    both = service("a"), service("b")
    apart = decided(running(*both, shared=False), *both)
    # 32 ms may be used: 20 + 20 are too many, 20 + 2 are not.
    assert {plan.feasible for plan in apart.values()} == {False}
    together = decided(running(*both), *both)
    assert {plan.feasible for plan in together.values()} == {True}
    for plan in apart.values():
        assert plan.utilization == pytest.approx(0.4)
    for plan in together.values():
        assert plan.cycle_ms == pytest.approx(22)
        assert plan.utilization == pytest.approx(0.22)
        assert plan.modules[0].utilization == pytest.approx(0.11)


def test_what_runs_is_counted_by_what_it_was_charged_with_and_by_nothing_else():
    both = service("a"), service("b")
    state = running(*both)
    memory = None
    for second, at in enumerate((1000.0, 1001.0, 1002.0, 1003.0)):
        # The first pays for what is shared, 20 ms a batch; the other one pays 2 ms.
        modules = tuple(
            each.model_copy(update={"batches": (BatchCount(size=1, count=10 * second, seconds=second * seconds),)})
            for each, seconds in zip(state.modules, (0.2, 0.02), strict=True)
        )
        now = state.model_copy(update={"modules": modules})
        snapshot = Snapshot(
            services=tuple(DeclaredService(each, uid=each.key, generation=1, changed_at=0) for each in both),
            runtimes=(declared_runtime("shared"),),
            instances=(Instance(RUNTIME, "uid of shared", desired=None, observed=now, running=True, observed_at=at),),
        )
        wanted = decide(snapshot, at, tuning=memory)
        memory = wanted.tuning
        for facts in wanted.facts:
            assert facts.plan is not None
            assert facts.plan.cycle_ms == pytest.approx(22, rel=0.02), at


def test_services_on_one_camera_have_the_same_pictures():
    renamed = {**CAMERA, "name": "other"}
    synthetic = {"name": "x", "source": "test://64x64", "fps": 5}
    assert found(service("a"), service("b")) == [{A, B}]
    assert found(service("a"), service("b"), service("c", renamed)) == [{A, B}]
    assert found(service("a", synthetic), service("b", {**synthetic, "name": "y"})) == [{A, B}]
    assert found(service("a", CAMERA, renamed), service("b", renamed, CAMERA)) == [{A, B}]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([CAMERA], [{**CAMERA, "fps": 5}]),
        ([CAMERA], [{**CAMERA, "motion": {}}]),
        ([CAMERA], [CAMERA, {"name": "more", "source": "rtsp://hall/main"}]),
        ([{"name": "f", "source": "file:///f.mp4"}], [{"name": "f", "source": "file:///f.mp4"}]),
        (
            [{"name": "f", "source": "file:///f.mp4", "delivery": "newest"}],
            [{"name": "f", "source": "file:///f.mp4", "delivery": "newest"}],
        ),
    ],
    ids=["rates", "motion", "cameras", "lossless", "as fast as served"],
)
def test_who_may_have_other_pictures_shares_no_time(one, other):
    assert found(service("a", *one), service("b", *other)) == []


def test_cameras_that_are_opened_with_other_credentials_are_other_cameras():
    assert found(service("a", credentialsSecretName="x"), service("b", credentialsSecretName="y")) == []


def test_modules_of_one_service_that_take_the_same_detections_have_the_same_pictures():
    modules = [
        {"name": "face", "model": {"name": "m", "version": "1"}},
        {"name": "age", "inputs": ["face"], "model": {"name": "m", "version": "1"}},
        {"name": "gender", "inputs": ["face"], "model": {"name": "m", "version": "1"}},
        {"name": "sure", "inputs": ["face"], "where": {"minScore": "90%"}, "model": {"name": "m", "version": "1"}},
    ]
    key = "cameras/a"
    assert found(service("a", modules=modules)) == [{(key, "age"), (key, "gender")}]
    both = service("a", modules=modules[:2]), service("b", modules=modules[:2])
    # What their detectors find need not be the same.
    assert found(*both) == [{("cameras/a", "face"), ("cameras/b", "face")}]


def test_a_module_that_runs_alone_or_does_not_serve_shares_nothing():
    both = service("a"), service("b")
    assert found(*both, alone="it failed in a batch with others") == []
    assert found(*both, serving=None) == []
    assert stems([(each, "another uid") for each in both], running(*both)) == ()


def test_an_app_that_does_not_say_how_long_its_stages_take_has_nothing_counted():
    both = service("a"), service("b")
    state = running(*both)
    untold = ObservedStage(modules=state.stages[0].modules, nodes=9, share=0.9)
    state = state.model_copy(update={"stages": (untold,)})
    assert stems([(each, each.key) for each in both], state) == ()


def test_the_smallest_batch_is_that_which_any_of_them_may_have():
    both = service("a", batching={"mode": "Fixed", "size": 8}), service("b", batching={"min": 4})
    (shared,) = stems([(each, each.key) for each in both], running(*both))
    assert shared.least == 4


def test_who_comes_to_others_that_are_charged_with_what_they_share_pays_for_its_own_part_only():
    profiles = {A: LINEAR, B: LINEAR, C: LINEAR}
    half = profile(*((size, 11.0 * size) for size in SIZES))
    every = [stem(A, B, C)]
    counted = counted_once(profiles, {A: half, B: half}, every)
    assert (counted[A], counted[B]) == (half, half)
    assert counted[C].typical_ms(8) == pytest.approx(16)
    assert counted[C].tail_ms(1) == pytest.approx(2)
    # One that ran alone until now was charged with all of it.
    assert counted_once(profiles, {A: LINEAR}, [stem(A, B)])[B].typical_ms(1) == pytest.approx(2)


def test_what_those_that_ran_were_not_charged_with_is_paid_by_those_that_are_new():
    profiles = {A: LINEAR, B: LINEAR, C: LINEAR}
    # Somebody else paid, and is not known any more.
    rider = profile(*((size, 2.0 * size) for size in SIZES))
    assert counted_once(profiles, {A: rider}, [stem(A, B)])[B] == LINEAR
    counted = counted_once(profiles, {A: rider}, [stem(A, B, C)])
    assert counted[B].typical_ms(1) + counted[C].typical_ms(1) == pytest.approx(22)
    # What runs is 2 and 18 / 3 for each of three: of the third, whose counters began anew, a third is not paid.
    third = profile((1, 8.0))
    counted = counted_once(profiles, {A: third, B: third}, [stem(A, B, C)])
    assert sum(each.tail_ms(1) for each in counted.values()) == pytest.approx(24)


def test_stages_within_stages_are_each_counted_once():
    profiles = {A: LINEAR, B: LINEAR, C: LINEAR}
    every = [stem(A, B, C, ms=10.0, share=0.5), stem(A, B, ms=8.0, share=0.4)]
    counted = counted_once(profiles, {}, every)
    # 10 and 8 once, and what is left: 2, 2 and 10.
    assert sum(each.tail_ms(1) for each in counted.values()) == pytest.approx(32)
    paid = {key: profile((1, 11.0)) for key in (A, B)}
    assert counted_once(profiles, paid, every)[C].tail_ms(1) == pytest.approx(10)


def test_a_stage_that_was_measured_in_a_bad_moment_takes_no_more_off_than_its_arithmetic():
    counted = counted_once({A: LINEAR, B: LINEAR}, {}, [stem(A, B, ms=1000.0)])
    assert counted[A].typical_ms(1) == pytest.approx(11)


@st.composite
def groups(draw: st.DrawFn) -> tuple[dict[tuple[str, str], ModuleProfile], Stem]:
    """Modules whose batches take a stage's time and their own."""
    keys = [("s", f"m{number}") for number in range(draw(st.integers(2, 4)))]
    times = st.lists(st.floats(0.1, 50), min_size=4, max_size=4).map(sorted)
    stage = draw(times)
    profiles = {}
    for key in keys:
        own = draw(times)
        points = [(size, both + mine) for size, both, mine in zip(SIZES, stage, own, strict=True)]
        profiles[key] = profile(*points, tail=draw(st.floats(1, 3)))
    latency = LatencyModel.measured(zip(SIZES, (ms / 1000 for ms in stage), strict=True))
    return profiles, Stem(dict.fromkeys(keys, 1.0), latency, draw(st.sampled_from(SIZES[:3])))


@given(groups(), st.data())
def test_a_cycle_has_room_for_the_stage_with_as_many_pictures_as_the_largest_batch_has(group, data):
    profiles, shared = group
    counted = counted_once(profiles, {}, [shared])
    allowed = [size for size in SIZES if size >= shared.least]
    sizes = {key: data.draw(st.sampled_from(allowed)) for key in profiles}
    own_ms = sum(profiles[key].tail_ms(size) - 1000 * shared.latency.seconds(size) for key, size in sizes.items())
    once_ms = 1000 * shared.latency.seconds(max(sizes.values()))
    cycle_ms = sum(counted[key].tail_ms(size) for key, size in sizes.items())
    assert cycle_ms >= own_ms + once_ms - 1e-6
    if set(sizes.values()) == {shared.least}:
        assert cycle_ms == pytest.approx(own_ms + once_ms)


@given(groups(), st.sampled_from(SIZES))
def test_device_time_is_that_of_each_and_of_the_stage_once_and_never_more_than_was_measured(group, size):
    profiles, shared = group
    counted = counted_once(profiles, {}, [shared])
    stage_ms = 1000 * shared.latency.seconds(size)
    once_ms = sum(each.typical_ms(size) for each in profiles.values()) - (len(profiles) - 1) * stage_ms
    assert sum(each.typical_ms(size) for each in counted.values()) == pytest.approx(once_ms)
    for key, each in profiles.items():
        assert 0 <= counted[key].typical_ms(size) <= each.typical_ms(size) + 1e-9
        assert counted[key].tail_ms(size) <= each.tail_ms(size) + 1e-9
        assert counted[key].largest == each.largest


@given(groups())
def test_what_is_learnt_and_what_shares_nothing_stays_as_it_is(group):
    profiles, shared = group
    assert counted_once(profiles, {}, []) == profiles
    assert counted_once(profiles, profiles, [shared]) == profiles
    other = replace(shared, shares={("t", "x"): 1.0, ("t", "y"): 1.0})
    assert counted_once(profiles, {}, [other]) == profiles
