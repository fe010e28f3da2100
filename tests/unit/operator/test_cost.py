"""What a service costs: its share of its device, by planned use, as it is planned and as it is reported."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.desired import Batch
from framepilot.resources.quantities import price
from framepilot_operator.cluster.port import Problem, Snapshot
from framepilot_operator.decision import decide
from framepilot_operator.planning.load import priced
from framepilot_operator.planning.plan import ModulePlan, ServicePlan
from framepilot_operator.planning.plan_status import plan_status
from framepilot_operator.status import service_status
from support.snapshots import SERVICE, module, named, observed, snapshot


def planned(*uses: float | None, name: str = SERVICE) -> ServicePlan:
    modules = tuple(ModulePlan(f"m{each}", Batch(size=1), 50.0, "cheap", use) for each, use in enumerate(uses))
    return ServicePlan(name, 200, modules, "the cheapest", 100.0, True, None, 50.0)


def costs(price_per_hour: float | None, **plans: ServicePlan) -> dict[str, float | None]:
    return {key: plan.cost_per_hour for key, plan in priced(plans, price_per_hour).items()}


def test_who_is_alone_pays_for_the_whole_device_however_little_it_uses() -> None:
    assert costs(0.4, a=planned(0.1)) == {"a": 0.4}
    assert costs(0.4, a=planned(None)) == {"a": 0.4}
    assert costs(None, a=planned(0.1)) == {"a": None}


def test_idle_time_is_paid_for_in_proportion_to_use() -> None:
    assert costs(1.0, a=planned(0.1, 0.2), b=planned(0.1)) == {"a": pytest.approx(0.75), "b": pytest.approx(0.25)}


def test_what_nobody_knows_has_no_cost() -> None:
    assert costs(1.0, a=planned(0.1), b=planned(0.1, None)) == {"a": None, "b": None}
    assert costs(None, a=planned(0.1), b=planned(0.1)) == {"a": None, "b": None}


@given(st.floats(0, 1e6), st.lists(st.floats(0, 10), min_size=1, max_size=8))
def test_the_shares_make_up_the_price(price_per_hour: float, uses: list[float]) -> None:
    plans = {str(each): planned(use) for each, use in enumerate(uses)}
    shares = [plan.cost_per_hour for plan in priced(plans, price_per_hour).values()]
    known = [share for share in shares if share is not None]
    assert len(known) == len(shares)
    assert math.fsum(known) == pytest.approx(price_per_hour)
    assert all(share >= 0 for share in known)


def reported(cost: float | None, before: float | None = None) -> str | None:
    earlier = None if before is None else plan_status(replace(planned(0.5), cost_per_hour=before), None)
    return plan_status(replace(planned(0.5), cost_per_hour=cost), earlier).cost_per_hour


def test_it_is_reported_rounded_and_until_it_is_clearly_another() -> None:
    assert reported(0.35) == "0.35"
    assert reported(0.123456) == "0.123"
    assert reported(0.0) == "0"
    assert reported(None) is None
    assert reported(0.36, before=0.35) == "0.35"
    assert reported(0.5, before=0.35) == "0.5"
    assert reported(0.001, before=0.0) == "0.001"
    assert reported(None, before=0.35) is None


@given(st.floats(0, 9_999_999.9999), st.none() | st.floats(0, 9_999_999.9999))
def test_whatever_it_is_it_can_be_written(cost: float, before: float | None) -> None:
    written = reported(cost, before)
    assert written is not None
    assert price(written) == pytest.approx(cost, rel=0.12, abs=1e-6)


def at(price_per_hour: float | None, *problems: Problem) -> Snapshot:
    found = snapshot(state=observed(modules=[module()]))
    (instance,) = found.instances
    return replace(found, instances=(replace(instance, price_per_hour=price_per_hour),), problems=problems)


def cost_in_status(found: Snapshot) -> str | None:
    (facts,) = decide(found, 1000).facts
    plan = service_status(facts, 1000).plan
    assert plan is not None
    return plan.cost_per_hour


def test_the_price_of_an_instance_becomes_the_cost_of_its_service() -> None:
    assert cost_in_status(at(0.35)) == "0.35"
    assert cost_in_status(at(None)) is None


def test_a_price_that_makes_no_sense_changes_nothing_else() -> None:
    problem = Problem("node n1", "its label is not used")
    assert decide(at(None, problem), 1000).changes == decide(at(None), 1000).changes
    assert decide(at(0.35), 1000).changes == decide(at(None), 1000).changes


def test_beside_something_that_is_not_planned_the_share_is_not_known() -> None:
    found = at(0.35)
    (instance,) = found.instances
    assert instance.desired is not None
    (pipeline,) = instance.desired.pipelines
    yard = named("yard")
    stranger = pipeline.model_copy(update={"service": yard.key, "uid": yard.uid})
    both = instance.desired.model_copy(update={"pipelines": (pipeline, stranger)})
    problem = Problem("yard.yaml", "cannot be read", yard.key)
    shared = replace(found, instances=(replace(instance, desired=both),), problems=(problem,))
    assert cost_in_status(shared) is None
