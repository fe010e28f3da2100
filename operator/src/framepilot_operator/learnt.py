"""What a status says that is only learnt while nothing changes, and when it is worth a write. Pure.

What was declared, decided and became of it is told at once. How long frames should take and how much of a device a plan
should use is learnt anew with every look at a device, and moves with everything else that runs on its machine. It is
told with the first change that there is to tell, or when it has been otherwise without a break for a while. What is
learnt first of a service is told when it is known whether it keeps to its objective, which takes some seconds more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from framepilot.resources.meta import Condition, ConditionStatus
from framepilot.resources.plan import PlannedModule, PlanStatus
from framepilot.resources.service import InferenceServiceStatus
from framepilot_operator.planning.plan_status import decisions

LASTING_S: Final = 600.0
"""So long what is learnt has to differ from what was told, to be told for its own sake."""
LEARNT_MESSAGES: Final = frozenset({("Feasible", "ObjectiveTooShort"), ("ObjectiveMet", "Missed")})
"""Type and reason of conditions that say which objective could be held."""


def as_told(status: InferenceServiceStatus, told: InferenceServiceStatus) -> InferenceServiceStatus:
    """The status, with what is only learnt as it was told last, where that is of the same decisions."""
    before = {(each.type, each.reason): each for each in told.conditions}
    conditions = tuple(_condition(each, before) for each in status.conditions)
    plan = status.plan
    if plan is not None and told.plan is not None and decisions(plan) == decisions(told.plan):
        settled = all(each.type != "ObjectiveMet" or each.status is not ConditionStatus.UNKNOWN for each in conditions)
        plan = _plan(plan, told.plan, settled=settled)
    return status.model_copy(update={"conditions": conditions, "plan": plan})


def _condition(now: Condition, before: Mapping[tuple[str, str], Condition]) -> Condition:
    kind = (now.type, now.reason)
    if kind not in LEARNT_MESSAGES or kind not in before:
        return now
    return now.model_copy(update={"message": before[kind].message})


def _plan(now: PlanStatus, told: PlanStatus, *, settled: bool) -> PlanStatus:
    return now.model_copy(
        update={
            "latency": told.latency,
            "utilization": told.utilization or (now.utilization if settled else None),
            "cost_per_hour": told.cost_per_hour or (now.cost_per_hour if settled else None),
            "modules": tuple(_module(*each, settled=settled) for each in zip(now.modules, told.modules, strict=True)),
        }
    )


def _module(now: PlannedModule, told: PlannedModule, *, settled: bool) -> PlannedModule:
    utilization = told.utilization or (now.utilization if settled else None)
    return now.model_copy(update={"latency": told.latency, "utilization": utilization, "tuning": told.tuning})
