"""The planner: what it promises must hold by an independent recomputation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.desired import Batch, DesiredModule, DesiredStream, ModelRef, Pipeline
from framepilot.contract.observed import ProfilePoint
from framepilot.resources.parse import parse_resource
from framepilot.resources.service import InferenceService
from framepilot.scheduling.latency import batch_sizes
from framepilot_operator.planning.load import Key
from framepilot_operator.planning.plan import ServicePlan
from framepilot_operator.planning.planner import CLEARLY_BETTER, plan
from framepilot_operator.planning.profile import ModuleProfile, from_observed
from framepilot_operator.planning.rates import ItemRate
from framepilot_operator.planning.usable import ENOUGH, MOST_USABLE, USABLE
from support import snapshots
from support.resources import service_document

KEY = "cameras/lobby"


@dataclass(frozen=True)
class Case:
    service: InferenceService
    profiles: dict[tuple[str, str], ModuleProfile]
    parents: dict[str, str | None]

    def at(self, latency: str) -> InferenceService:
        objective = self.service.spec.objective.model_copy(update={"latency": latency})
        return self.service.model_copy(update={"spec": self.service.spec.model_copy(update={"objective": objective})})


def service(
    modules: list[dict[str, object]], latency: str, stream: Mapping[str, object] | None = None
) -> InferenceService:
    document = service_document()
    document["spec"]["streams"][0].update(stream or {})
    document["spec"]["modules"] = modules
    document["spec"]["objective"]["latency"] = latency
    resource = parse_resource(document, "test")
    assert isinstance(resource, InferenceService)
    return resource


def measured(points: dict[int, float]) -> ModuleProfile:
    profile = from_observed([ProfilePoint(batch=size, p50_ms=ms, p99_ms=1.2 * ms) for size, ms in points.items()])
    assert profile is not None
    return profile


def batchings() -> st.SearchStrategy[dict[str, object]]:
    auto = st.tuples(st.integers(1, 64), st.integers(1, 64)).map(
        lambda pair: {"mode": "Auto", "min": min(pair), "max": max(pair)}
    )
    return auto | st.integers(1, 64).map(lambda size: {"mode": "Fixed", "size": size})


@st.composite
def curves(draw: st.DrawFn) -> ModuleProfile:
    fixed, each = draw(st.floats(0, 20)), draw(st.floats(0.01, 10))
    sizes = draw(st.sets(st.sampled_from([1, 2, 3, 4, 8, 16, 32, 64]), min_size=1))
    return measured({size: fixed + each * size * draw(st.floats(0.8, 1.2)) for size in sizes})


@st.composite
def cases(draw: st.DrawFn) -> Case:
    parents: dict[str, str | None] = {}
    for number in range(draw(st.integers(1, 5))):
        parents[f"m{number}"] = draw(st.sampled_from([None, *parents]))
    modules: list[dict[str, object]] = [
        {
            "name": name,
            **({} if parent is None else {"inputs": [parent]}),
            "model": {"name": name, "version": "1"},
            "batching": draw(batchings()),
        }
        for name, parent in parents.items()
    ]
    objective = service(modules, f"{draw(st.integers(1, 2000))}ms")
    return Case(objective, {(KEY, name): draw(curves()) for name in parents}, parents)


def planned(case: Case, resource: InferenceService | None = None, previous: Pipeline | None = None) -> ServicePlan:
    return plan([resource or case.service], case.profiles, {} if previous is None else {KEY: previous})[KEY]


def as_pipeline(case: Case, made: ServicePlan) -> Pipeline:
    """What an instance is told when a plan is applied."""
    return Pipeline(
        service=KEY,
        uid="u",
        objective_ms=made.objective_ms,
        streams=(DesiredStream(name="door", source="file:///door.mp4"),),
        modules=tuple(
            DesiredModule(
                name=module.name,
                inputs=tuple(filter(None, [case.parents[module.name]])),
                budget_ms=module.budget_ms,
                batch=module.batch,
                model=ModelRef(name=module.name, version="1", uri="file:///m"),
            )
            for module in made.modules
        ),
    )


def ways(case: Case) -> list[list[str]]:
    """Every way to a module, whether or not it feeds others: the longer ones are the harder ones."""
    found = []
    for name in case.parents:
        way: list[str] = []
        at: str | None = name
        while at is not None:
            way.append(at)
            at = case.parents[at]
        found.append(way)
    return found


def cost_ms(case: Case, made: ServicePlan) -> float:
    return sum(
        case.profiles[KEY, module.name].typical.seconds(module.batch.size) * 1000 / module.batch.size
        for module in made.modules
    )


@given(cases())
def test_a_plan_stays_within_what_is_allowed(case: Case) -> None:
    for module, declared in zip(planned(case).modules, case.service.spec.modules, strict=True):
        batching = case.service.spec.batching_of(declared)
        smallest, largest = batching.bounds
        assert module.name == declared.name
        assert smallest <= module.batch.size <= largest <= module.batch.limit
        assert module.batch.size in {smallest, *batch_sizes(largest)}
        assert module.batch.size == smallest or module.batch.size <= case.profiles[KEY, module.name].largest


@given(cases())
def test_a_feasible_plan_holds_the_objective_in_the_worst_case(case: Case) -> None:
    made = planned(case)
    batch = {module.name: module.batch for module in made.modules}
    cycle_ms = sum(case.profiles[KEY, name].tail.seconds(batch[name].size) * 1000 for name in batch)
    worst_ms = max(sum(batch[name].max_wait_ms + cycle_ms for name in way) for way in ways(case))
    assert made.worst_case_ms is not None
    assert math.isclose(made.worst_case_ms, worst_ms)
    if made.feasible:
        assert worst_ms <= USABLE * made.objective_ms + 1e-6
    else:
        assert made.needed_ms is not None
        assert made.needed_ms > made.objective_ms - 1e-6


@given(cases())
def test_the_objective_that_is_said_to_be_needed_is_enough(case: Case) -> None:
    made = planned(case)
    if made.needed_ms is not None:
        assert planned(case, case.at(f"{math.ceil(made.needed_ms) + 1}ms")).feasible


@given(cases())
def test_budgets_along_every_way_add_up_to_at_most_the_objective(case: Case) -> None:
    made = planned(case)
    budgets_ms = {module.name: module.budget_ms for module in made.modules}
    assert all(budget_ms > 0 for budget_ms in budgets_ms.values())
    for way in ways(case):
        assert sum(budgets_ms[name] for name in way) <= made.objective_ms * (1 + 1e-9)


@given(cases(), st.integers(1, 5000))
def test_a_laxer_objective_never_costs_more_device_time(case: Case, more_ms: int) -> None:
    strict = planned(case)
    lax = planned(case, case.at(f"{int(strict.objective_ms) + more_ms}ms"))
    assert not strict.feasible or lax.feasible
    assert cost_ms(case, lax) <= cost_ms(case, strict) * (1 + 1e-9)


@given(cases())
def test_planning_again_changes_nothing(case: Case) -> None:
    made = planned(case)
    assert planned(case) == made
    again = planned(case, previous=as_pipeline(case, made))
    assert [(module.batch, module.budget_ms) for module in again.modules] == [
        (module.batch, module.budget_ms) for module in made.modules
    ]


@given(cases(), st.floats(0.9, 1.1))
def test_noise_in_a_profile_moves_only_what_fails_or_is_clearly_worse(case: Case, noise: float) -> None:
    made = planned(case)
    noisy = Case(
        case.service,
        {
            key: measured({size: noise * seconds * 1000 for size, seconds in profile.typical.points})
            for key, profile in case.profiles.items()
        },
        case.parents,
    )
    again = planned(noisy, previous=as_pipeline(case, made))
    if [module.batch.size for module in again.modules] == [module.batch.size for module in made.modules]:
        return
    cycle_ms = sum(noisy.profiles[KEY, each.name].tail.seconds(each.batch.size) * 1000 for each in made.modules)
    failed = max(map(len, ways(case))) * cycle_ms > USABLE * made.objective_ms
    assert failed or cost_ms(noisy, again) <= CLEARLY_BETTER * cost_ms(noisy, made) + 1e-9


@given(cases())
def test_a_module_without_a_profile_starts_at_its_smallest_batch(case: Case) -> None:
    made = plan([case.service], {}, {})[KEY]
    assert made.feasible is None
    for module, declared in zip(made.modules, case.service.spec.modules, strict=True):
        assert module.batch.size == case.service.spec.batching_of(declared).bounds[0]


def face(batching: dict[str, object] | None = None) -> dict[str, object]:
    return {"name": "face", "model": {"name": "centerface", "version": "1"}, "batching": batching or {"max": 32}}


def alone(latency: str, points: dict[int, float], previous: Pipeline | None = None) -> ServicePlan:
    case = Case(service([face()], latency), {(KEY, "face"): measured(points)}, {"face": None})
    return planned(case, previous=previous)


def test_the_largest_batch_that_holds_the_objective_is_chosen_where_batching_pays():
    points = {1: 10, 2: 11, 4: 13, 8: 17, 16: 25, 32: 41}
    assert alone("40ms", points).modules[0].batch.size == 16
    assert alone("1s", points).modules[0].batch.size == 32


def test_a_batch_that_saves_next_to_nothing_is_not_worth_its_latency():
    assert alone("1s", {1: 10, 2: 19.8, 4: 39, 8: 78, 16: 156, 32: 312}).modules[0].batch.size == 1


def test_nothing_above_the_measured_sizes_is_chosen():
    assert alone("1s", {1: 10, 2: 11, 4: 13}).modules[0].batch.size == 4


def test_a_batch_that_does_not_hold_the_objective_says_what_would():
    made = alone("10ms", {1: 10, 2: 11})
    assert (made.feasible, made.modules[0].batch.size) == (False, 1)
    assert made.needed_ms is not None
    assert math.isclose(made.needed_ms, 12 / USABLE)


def test_what_runs_is_kept_until_another_plan_is_clearly_better():
    case = Case(service([face()], "1s"), {(KEY, "face"): measured({1: 10, 8: 40, 16: 75})}, {"face": None})
    running = as_pipeline(case, planned(case)).model_copy(update={"objective_ms": 1000})
    eight = running.modules[0].model_copy(update={"batch": Batch(size=8, max_wait_ms=1)})
    kept = planned(case, previous=running.model_copy(update={"modules": (eight,)}))
    assert kept.modules[0].batch.size == 8
    better = Case(case.service, {(KEY, "face"): measured({1: 10, 8: 40, 16: 60})}, {"face": None})
    assert planned(better, previous=running.model_copy(update={"modules": (eight,)})).modules[0].batch.size == 16


def rated(per_s: dict[str, float], points: dict[int, float], latency: str = "1s") -> dict[str, int]:
    """The sizes of modules that are alike, at these rates."""
    modules = [{**face(), "name": name} for name in per_s]
    profiles = {(KEY, name): measured(points) for name in per_s}
    rates = {(KEY, name): ItemRate(each) for name, each in per_s.items()}
    made = plan([service(modules, latency)], profiles, {}, rates)[KEY]
    return {module.name: module.batch.size for module in made.modules}


def test_the_module_that_gets_most_has_the_larger_batches():
    points = {1: 10, 2: 12, 4: 16, 8: 24, 16: 40}
    sizes = rated({"seldom": 20, "often": 1000}, points, "70ms")
    assert sizes["often"] > sizes["seldom"]
    assert rated({"often": 20, "seldom": 1000}, points, "70ms") == {
        "often": sizes["seldom"],
        "seldom": sizes["often"],
    }


def test_a_batch_that_cannot_fill_is_not_worth_its_latency():
    points = {1: 10, 2: 12, 4: 16, 8: 24, 16: 40, 32: 72}
    assert rated({"m": 1000}, points) == {"m": 32}
    # In the 800 ms that an item may take, 8 more come.
    assert rated({"m": 10}, points) == {"m": 8}
    assert rated({"m": 0.1}, points) == {"m": 1}


def test_what_comes_at_once_fills_a_batch_however_seldom_it_comes():
    assert ItemRate(0.1, at_once=8).most_in(0.1) == 8
    assert ItemRate(100, dispersion=4.0).most_in(0.16) > ItemRate(100).most_in(0.16)


SLOW = {1: 17, 2: 23, 3: 30, 4: 36, 6: 50, 8: 63}


def test_what_a_batch_saves_counts_as_it_usually_fills():
    # Beside 8 there is little time left to wait, and few items come in it; many fill it in any case.
    assert rated({"m": 77}, SLOW, "125ms") == {"m": 6}
    assert rated({"m": 400}, SLOW, "125ms") == {"m": 8}


def test_the_items_of_a_frame_come_together():
    assert ItemRate(10).usual_in(0.5) == 6
    assert ItemRate(10, of_a_frame=4).usual_in(0.5) == 9


def test_what_has_to_be_changed_is_no_reason_to_keep_the_rest_of_it():
    case = Case(service([face()], "125ms"), {(KEY, "face"): measured(SLOW)}, {"face": None})
    rates = {(KEY, "face"): ItemRate(150)}

    def size(wait_ms: float) -> int:
        told = as_pipeline(case, planned(case))
        eight = told.modules[0].model_copy(update={"batch": Batch(size=8, max_wait_ms=wait_ms)})
        told = told.model_copy(update={"modules": (eight,)})
        return plan([case.service], case.profiles, {KEY: told}, rates)[KEY].modules[0].batch.size

    assert size(24.0) == 8
    assert size(60.0) == 6


def test_a_batch_may_wait_longer_where_little_is_done_before_and_after():
    case = Case(
        service([face()], "500ms", {"source": "rtsp://camera/1"}), {(KEY, "face"): measured({4: 20})}, {"face": None}
    )
    idle = snapshots.module(items=ENOUGH).model_copy(update={"name": "face"})
    (known,) = plan([case.service], case.profiles, {}, {}, {KEY: {"face": idle}})[KEY].modules
    (unknown,) = planned(case).modules
    assert known.batch.max_wait_ms == unknown.batch.max_wait_ms + (MOST_USABLE - USABLE) * 500


def test_a_batch_may_wait_for_all_that_the_objective_leaves_if_frames_do_not_wait_for_it():
    profiles = {(KEY, "face"): measured({1: 10, 2: 12, 4: 20})}

    def batch(source: dict[str, object], rates: dict[Key, ItemRate], told: dict[str, Pipeline]) -> Batch:
        case = Case(service([face()], "500ms", source), profiles, {"face": None})
        return plan([case.service], case.profiles, told, rates)[KEY].modules[0].batch

    camera = {"source": "rtsp://camera/1"}
    unknown = batch(camera, {}, {})
    assert (unknown.size, unknown.max_wait_ms) == (4, USABLE * 500 - 24)
    # When its rate becomes known, the wait stays.
    assert batch(camera, {(KEY, "face"): ItemRate(50)}, {}) == unknown
    # A file gives frames as fast as they are served: waiting for more than a batch takes would only hold it up.
    assert batch({"source": "file:videos/door.mp4"}, {}, {}).max_wait_ms == 24


def test_a_wait_that_is_much_too_short_is_not_kept():
    case = Case(
        service([face()], "500ms", {"source": "rtsp://camera/1"}), {(KEY, "face"): measured({4: 20})}, {"face": None}
    )
    before = as_pipeline(case, planned(case))
    short = before.modules[0].batch.model_copy(update={"max_wait_ms": 24.0})
    told = before.model_copy(update={"modules": (before.modules[0].model_copy(update={"batch": short}),)})
    assert plan([case.service], case.profiles, {KEY: told})[KEY].modules[0].batch == before.modules[0].batch


def running(case: Case, size: int) -> Pipeline:
    made = as_pipeline(case, planned(case)).model_copy(update={"objective_ms": 1000})
    module = made.modules[0].model_copy(update={"batch": Batch(size=size, max_wait_ms=1)})
    return made.model_copy(update={"modules": (module,)})


def test_what_runs_is_left_when_the_device_can_hardly_keep_up_with_it():
    case = Case(service([face()], "1s"), {(KEY, "face"): measured({1: 10, 8: 40, 16: 75})}, {"face": None})
    told = {KEY: running(case, 8)}

    def size(rate: ItemRate) -> int:
        return plan([case.service], case.profiles, told, {(KEY, "face"): rate})[KEY].modules[0].batch.size

    assert size(ItemRate(170)) == 8
    assert size(ItemRate(190)) == 16
    # Bursts need more room.
    assert size(ItemRate(170, dispersion=4.0)) == 16


def test_rates_of_which_one_is_missing_weigh_nothing():
    case = Case(
        service([face(), {**face(), "name": "age"}], "70ms"),
        {(KEY, name): measured({1: 10, 2: 12, 4: 16, 8: 24}) for name in ("face", "age")},
        {"face": None, "age": None},
    )
    made = plan([case.service], case.profiles, {}, {(KEY, "face"): ItemRate(0.1)})
    unknown = plan([case.service], case.profiles, {})
    assert [each.batch for each in made[KEY].modules] == [each.batch for each in unknown[KEY].modules]


def test_noise_that_makes_what_runs_a_little_too_slow_is_borne():
    case = Case(service([face()], "100ms"), {(KEY, "face"): measured({1: 10, 2: 12, 4: 16})}, {"face": None})
    told = as_pipeline(case, planned(case))
    slower = Case(case.service, {(KEY, "face"): measured({1: 10.2, 2: 12.3, 4: 16.4})}, {"face": None})
    again = planned(slower, previous=told)
    assert again.feasible
    assert [module.batch for module in again.modules] == [module.batch for module in told.modules]


def test_a_new_module_without_a_profile_leaves_the_others_as_they_are():
    case = Case(service([face()], "1s"), {(KEY, "face"): measured({1: 10, 8: 20, 16: 25})}, {"face": None})
    before = planned(case)
    grown = service([face(), {"name": "age", "inputs": ["face"], "model": {"name": "age", "version": "1"}}], "1s")
    after = planned(case, grown, as_pipeline(case, before))
    assert [module.batch.size for module in after.modules] == [before.modules[0].batch.size, 1]


def test_many_modules_are_planned_all_the_same():
    curve = measured({1: 1, 2: 1.3, 4: 1.9, 8: 3.1, 16: 5.5, 32: 10})
    modules = [{**face(), "name": f"m{number}"} for number in range(64)]
    made = plan([service(modules, "300ms")], {(KEY, f"m{number}"): curve for number in range(64)}, {})[KEY]
    assert made.feasible
    assert any(module.batch.size > 1 for module in made.modules)


def named(case: Case, name: str) -> Case:
    """The same under another name, `cameras/<name>`."""
    metadata = case.service.metadata.model_copy(update={"name": name})
    renamed = case.service.model_copy(update={"metadata": metadata})
    return Case(renamed, {(renamed.key, module): each for (_, module), each in case.profiles.items()}, case.parents)


@given(cases(), cases())
def test_services_that_share_an_instance_share_its_cycle_and_each_objective_holds_or_is_said_not_to(
    one: Case, other: Case
) -> None:
    members = [named(one, "one"), named(other, "other")]
    profiles = members[0].profiles | members[1].profiles
    made = plan([each.service for each in members], profiles, {})
    cycle_ms = sum(
        profiles[key, module.name].tail.seconds(module.batch.size) * 1000
        for key, each in made.items()
        for module in each.modules
    )
    for member in members:
        own = made[member.service.key]
        batch = {module.name: module.batch for module in own.modules}
        worst_ms = max(sum(batch[name].max_wait_ms + cycle_ms for name in way) for way in ways(member))
        assert own.worst_case_ms is not None
        assert math.isclose(own.worst_case_ms, worst_ms)
        assert own.feasible == (own.needed_ms is None)
        if own.feasible:
            assert worst_ms <= USABLE * own.objective_ms + 1e-6
    alone_feasible = [planned(each).feasible for each in (one, other)]
    for together, by_itself in zip(made.values(), alone_feasible, strict=True):
        assert by_itself or not together.feasible


def test_a_service_that_is_not_measured_yet_holds_up_nobody():
    one = named(Case(service([face()], "1s"), {(KEY, "face"): measured({1: 10, 8: 20})}, {"face": None}), "one")
    new = service([face()], "1s")
    made = plan([one.service, new], one.profiles, {})
    assert made[KEY].reason == "no profile yet of face"
    assert made["cameras/one"].modules == planned_alone(one).modules


def test_what_is_measured_of_a_service_that_is_not_counts_for_the_others():
    one = named(Case(service([face()], "100ms"), {(KEY, "face"): measured({1: 10, 8: 50})}, {"face": None}), "one")
    grown = service([face({"mode": "Fixed", "size": 1}), {**face(), "name": "age"}], "1s")
    profiles = one.profiles | {(KEY, "face"): measured({1: 40})}
    assert planned_alone(one).modules[0].batch.size == 8
    beside = plan([one.service, grown], profiles, {})["cameras/one"]
    assert beside.modules[0].batch.size < 8
    assert beside.feasible


def test_an_objective_that_nothing_holds_costs_the_others_nothing():
    good = named(Case(service([face()], "1s"), {(KEY, "face"): measured({1: 10, 8: 20})}, {"face": None}), "good")
    bad = named(Case(service([face()], "5ms"), {(KEY, "face"): measured({1: 10, 8: 20})}, {"face": None}), "bad")
    made = plan([good.service, bad.service], good.profiles | bad.profiles, {})
    assert (made["cameras/good"].feasible, made["cameras/bad"].feasible) == (True, False)
    assert made["cameras/good"].modules[0].batch.size == 8
    needed_ms = made["cameras/bad"].needed_ms
    assert needed_ms is not None
    content = named(bad, "bad")
    content = Case(content.at(f"{math.ceil(needed_ms) + 1}ms"), content.profiles, content.parents)
    assert plan([good.service, content.service], good.profiles | content.profiles, {})["cameras/bad"].feasible


def planned_alone(case: Case) -> ServicePlan:
    return plan([case.service], case.profiles, {})[case.service.key]
