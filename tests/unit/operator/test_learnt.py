"""What a status tells at once, and what waits until there is more to tell."""

from __future__ import annotations

from framepilot.resources.meta import Condition, ConditionStatus
from framepilot.resources.plan import PlannedModule, PlanStatus
from framepilot.resources.service import InferenceServiceStatus
from framepilot_operator.learnt import as_told


def status(
    *,
    batch: int = 8,
    latency: str | None = "100ms",
    utilization: str | None = "20%",
    tuning: str | None = None,
    feasible: tuple[bool, str] = (True, "held"),
    met: ConditionStatus = ConditionStatus.TRUE,
) -> InferenceServiceStatus:
    held, message = feasible
    conditions = (
        _condition(
            "Feasible",
            ConditionStatus.TRUE if held else ConditionStatus.FALSE,
            "Planned" if held else "ObjectiveTooShort",
            message,
        ),
        _condition("ObjectiveMet", met, "Met", "met"),
    )
    module = PlannedModule(
        name="face",
        batch=batch,
        budget="150ms",
        latency=latency,
        utilization=utilization,
        reason="cheap",
        tuning=tuning,
    )
    plan = PlanStatus(latency=latency, utilization=utilization, cost_per_hour="0.1", reason="cheap", modules=(module,))
    return InferenceServiceStatus(conditions=conditions, plan=plan)


def _condition(kind: str, is_so: ConditionStatus, reason: str, message: str) -> Condition:
    return Condition(
        type=kind,
        status=is_so,
        reason=reason,
        message=message,
        observed_generation=1,
        last_transition_time="2026-01-01T00:00:00Z",
    )


def test_what_is_only_learnt_of_the_same_decisions_is_as_it_was_told():
    assert as_told(status(latency="300ms", utilization="70%", tuning="slow"), status()) == status()
    told = status(feasible=(False, "100 ms could be held"))
    assert as_told(status(feasible=(False, "900 ms could be held")), told) == told


def test_another_decision_or_another_finding_is_told_with_all_that_is_learnt():
    for now in (
        status(batch=4, latency="300ms", utilization="70%", tuning="slow"),
        status(latency=None),
        status(feasible=(False, "100 ms could be held")),
        status(met=ConditionStatus.FALSE),
    ):
        assert as_told(now, status()) == now


def test_what_is_known_for_the_first_time_is_told_once_it_is_known_whether_the_objective_is_met():
    unknown = status(utilization=None, met=ConditionStatus.UNKNOWN)
    assert as_told(status(met=ConditionStatus.UNKNOWN), unknown) == unknown
    assert as_told(status(), status(utilization=None)) == status()
