"""Plans a workload's document, and has an independent checker look at the plan."""

from __future__ import annotations

import json
from typing import Any

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.plan_document import plan_document
from framepilot_operator.planning.workload_file import read_workload
from framepilot_operator.planning.workload_planner import plan_workload
from support.plan_checker import problems


def planned(document: dict[str, Any], cost_model: CostModel = "fractional") -> WorkloadPlan:
    """The plan of a workload, made without a limit of time."""
    return plan_workload(read_workload(document), cost_model, lambda: 0.0)


def accepted(document: dict[str, Any], plan: WorkloadPlan) -> WorkloadPlan:
    """The plan, which has to be feasible and to pass the checker as it is printed."""
    assert plan.feasible, plan.reason
    assert problems(document, json.loads(json.dumps(plan_document(plan, 0.0)))) == []
    return plan


def checked(document: dict[str, Any], cost_model: CostModel = "fractional") -> WorkloadPlan:
    """The plan of a workload, which has to pass."""
    return accepted(document, planned(document, cost_model))
