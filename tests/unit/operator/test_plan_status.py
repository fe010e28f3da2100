"""The plan in the status: what was decided and why, and nothing that moves with every measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.desired import Batch
from framepilot.contract.observed import ObservedModule
from framepilot.resources.parse import parse_resource
from framepilot.resources.quantities import duration_ms, fraction
from framepilot.resources.service import InferenceService
from framepilot_operator.planning.plan import ModulePlan, ServicePlan
from framepilot_operator.planning.plan_status import plan_status
from framepilot_operator.planning.rates import ENOUGH, ItemRate, item_rates
from framepilot_operator.status import Facts, service_status
from support.resources import service_document
from support.snapshots import SERVICE, declared, module


def planned(size: int = 8, cycle_ms: float = 100.0, utilization: float = 0.52, why: str = "cheap") -> ServicePlan:
    face = ModulePlan("face", Batch(size=size, limit=32, max_wait_ms=20), 150.0, why, utilization)
    return ServicePlan(SERVICE, 200, (face,), f"the {why}est", 20 + cycle_ms, True, None, cycle_ms, utilization)


def test_it_says_what_is_decided_what_it_should_bring_and_why() -> None:
    found = plan_status(planned(), None)
    (face,) = found.modules
    assert (face.batch, face.max_wait, face.budget, face.reason) == (8, "20ms", "150ms", "cheap")
    assert (face.latency, found.latency, face.utilization, found.utilization) == ("120ms", "120ms", "50%", "50%")
    assert found.reason == "the cheapest"


@given(st.floats(90.0, 110.0), st.floats(0.47, 0.53))
def test_noise_in_what_was_measured_changes_nothing_that_is_reported(cycle_ms: float, utilization: float) -> None:
    before = plan_status(planned(), None)
    assert plan_status(planned(8, cycle_ms, utilization, "another"), before) == before


def tuned(found: str | None) -> ServicePlan:
    plan = planned()
    return replace(plan, modules=tuple(replace(module, tuning=found) for module in plan.modules))


def test_what_is_found_while_it_runs_is_reported_until_it_is_found_to_be_over() -> None:
    contended = plan_status(tuned("twice as long"), None)
    assert contended.modules[0].tuning == "twice as long"
    # An operator that has just begun knows nothing, and writes nothing.
    assert plan_status(tuned(None), contended) == contended
    assert plan_status(tuned(""), contended).modules[0].tuning is None
    assert plan_status(tuned(None), None).modules[0].tuning is None


def test_another_decision_comes_with_its_own_reason() -> None:
    found = plan_status(planned(16, why="better"), plan_status(planned(), None))
    assert found.modules[0].reason == "better"
    assert found.reason == "the betterest"


def test_numbers_that_are_clearly_others_are_reported() -> None:
    found = plan_status(planned(8, 200.0, 0.81), plan_status(planned(), None))
    assert found.latency == "220ms"
    assert found.utilization == "80%"
    assert found.modules[0].latency == "220ms"


def test_what_was_not_measured_gets_its_reason_when_it_is() -> None:
    unmeasured = replace(planned(why="unknown"), cycle_ms=None, worst_case_ms=None, feasible=None)
    before = plan_status(unmeasured, None)
    assert before.latency is None
    assert plan_status(planned(), before).modules[0].reason == "cheap"


@given(st.floats(0.0, 1e5), st.floats(0.0, 100.0))
def test_whatever_was_planned_can_be_written(cycle_ms: float, utilization: float) -> None:
    found = plan_status(planned(8, cycle_ms, utilization), None)
    assert found.latency is not None
    assert duration_ms(found.latency) >= 20 + cycle_ms
    assert found.utilization is not None
    assert fraction(found.utilization) == pytest.approx(min(utilization, 1.0), abs=0.026)


def test_a_plan_that_no_longer_holds_the_objective_says_its_own_reason() -> None:
    facts = Facts(declared(), planned())
    status = service_status(facts, 1000)
    resource = facts.service.resource.model_copy(update={"status": status})
    slower = replace(planned(why="short"), feasible=False)
    later = service_status(Facts(replace(facts.service, resource=resource), slower), 1001)
    assert later.plan is not None
    assert later.plan.reason == "the shortest"


def test_where_nothing_could_be_planned_what_was_stays() -> None:
    facts = Facts(declared(), planned())
    status = service_status(facts, 1000)
    resource = facts.service.resource.model_copy(update={"status": status})
    assert service_status(Facts(replace(facts.service, resource=resource)), 1001).plan == status.plan


def parsed(document: dict[str, Any]) -> InferenceService:
    resource = parse_resource(document, "test")
    assert isinstance(resource, InferenceService)
    return resource


def counted(name: str, items: int) -> ObservedModule:
    return module().model_copy(update={"name": name, "items": items})


def test_the_rate_of_a_later_module_is_known_once_enough_was_counted() -> None:
    document = service_document()
    document["spec"]["streams"] = [{"name": "door", "source": "test://64x64", "fps": 10}]
    document["spec"]["modules"] = [
        {"name": "face", "model": {"name": "face", "version": "1"}},
        {"name": "age", "inputs": ["face"], "model": {"name": "age", "version": "1"}},
    ]
    service = parsed(document)
    face, age = (service.key, "face"), (service.key, "age")
    assert item_rates(service, {}) == {face: ItemRate(10.0)}
    few = {"face": counted("face", ENOUGH - 1), "age": counted("age", 3 * ENOUGH)}
    assert item_rates(service, few) == {face: ItemRate(10.0)}
    many = {"face": counted("face", ENOUGH), "age": counted("age", 3 * ENOUGH)}
    assert item_rates(service, many) == {face: ItemRate(10.0), age: ItemRate(30.0, at_once=3.0, of_a_frame=3.0)}


def test_a_stream_without_a_declared_rate_leaves_rates_unknown() -> None:
    document = service_document()
    document["spec"]["streams"] = [{"name": "door", "source": "test://64x64"}]
    assert item_rates(parsed(document), {}) == {}
