"""A plan as the status of its service says it. Pure.

A status is written when a person may care, so the numbers of a plan are rounded, and as long as its decisions are the
same they stay as they were reported until they are clearly others. The reasons stay with them: they are those for which
it was decided so.
"""

from __future__ import annotations

import math
from typing import Final

from framepilot.resources.plan import PlannedModule, PlanStatus
from framepilot.resources.quantities import (
    Duration,
    Percent,
    Price,
    duration_ms,
    format_duration,
    format_percent,
    format_price,
    fraction,
    price,
)
from framepilot_operator.planning.plan import ModulePlan, ServicePlan

LATENCY_MOVES: Final = 0.25
"""A latency that differs by less than this share is the same."""
UTILIZATION_MOVES: Final = 0.1
"""A utilization that differs by less than this much of the device's time is the same."""
COST_MOVES: Final = 0.1
"""A cost that differs by less than this share is the same."""
COST_DIGITS: Final = 3
"""Costs are rounded to so many digits."""
STEPS: Final = 20
"""Utilizations are rounded to one part in so many."""


def plan_status(plan: ServicePlan, before: PlanStatus | None) -> PlanStatus:
    """What to report of a plan; `before` is what was reported last, None if that is not to be kept to."""
    known = {} if before is None else {module.name: module for module in before.modules}
    found = PlanStatus(
        latency=_latency(plan.worst_case_ms, None if before is None else before.latency),
        utilization=_utilization(plan.utilization, None if before is None else before.utilization),
        cost_per_hour=_cost(plan.cost_per_hour, None if before is None else before.cost_per_hour),
        reason=plan.reason[:1024],
        modules=tuple(_module(plan, module, known.get(module.name)) for module in plan.modules),
    )
    same = before is not None and decisions(found) == decisions(before)
    return found.model_copy(update={"reason": before.reason}) if before is not None and same else found


def decisions(plan: PlanStatus) -> list[object]:
    """What was decided, without what it should bring."""
    return list(map(_decision, plan.modules))


def _decision(module: PlannedModule) -> object:
    # What was not measured then was decided for another reason.
    return module.name, module.batch, module.max_wait, module.budget, module.latency is None


def _module(plan: ServicePlan, module: ModulePlan, before: PlannedModule | None) -> PlannedModule:
    wait_ms = module.batch.max_wait_ms
    found = PlannedModule(
        name=module.name,
        batch=module.batch.size,
        max_wait=format_duration(wait_ms) if wait_ms > 0 else None,
        budget=format_duration(module.budget_ms),
        latency=_latency(plan.latency_ms(module), None if before is None else before.latency),
        utilization=_utilization(module.utilization, None if before is None else before.utilization),
        reason=module.reason[:512],
        tuning=_tuning(module.tuning, None if before is None else before.tuning),
    )
    same = before is not None and _decision(found) == _decision(before)
    return found.model_copy(update={"reason": before.reason}) if before is not None and same else found


def _tuning(found: str | None, before: str | None) -> str | None:
    """As long as nothing is known, what was found last is the best there is to say."""
    return before if found is None else found[:512] or None


def _latency(latency_ms: float | None, before: Duration | None) -> Duration | None:
    if latency_ms is None:
        return None
    if before is not None and abs(duration_ms(before) - latency_ms) <= LATENCY_MOVES * duration_ms(before):
        return before
    return format_duration(max(rounded_up(latency_ms), 0.001))


def _utilization(share: float | None, before: Percent | None) -> Percent | None:
    """More than all of the device's time is reported as all of it."""
    if share is None:
        return None
    share = min(share, 1.0)
    if before is not None and abs(fraction(before) - share) <= UTILIZATION_MOVES:
        return before
    return format_percent(round(share * STEPS) / STEPS)


def _cost(per_hour: float | None, before: Price | None) -> Price | None:
    if per_hour is None:
        return None
    if before is not None and abs(price(before) - per_hour) <= COST_MOVES * price(before):
        return before
    return format_price(float(f"{per_hour:.{COST_DIGITS}g}"))


def rounded_up(value: float) -> float:
    """Two digits: noise in a profile must not change what is said."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    return math.ceil(value / unit) * unit
