"""Plans of services for a person, as a table, and for a program, as a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from framepilot_operator.planning.plan import ModulePlan, ServicePlan

Document = dict[str, object]

_COLUMNS: Final = ("MODULE", "BATCH", "WAIT MS", "BUDGET MS", "LATENCY MS", "UTILIZATION")


def service_plan_document(plan: ServicePlan, device_class: str) -> Document:
    """One plan, for JSON or YAML; what is not known is null."""
    return {
        "service": plan.service,
        "device_class": device_class,
        "feasible": plan.feasible,
        "objective_ms": plan.objective_ms,
        "latency_ms": plan.worst_case_ms,
        "needed_ms": plan.needed_ms,
        "utilization": plan.utilization,
        "cost_per_hour": plan.cost_per_hour,
        "reason": plan.reason,
        "modules": [
            {
                "name": module.name,
                "batch": module.batch.size,
                "max_wait_ms": module.batch.max_wait_ms,
                "budget_ms": module.budget_ms,
                "latency_ms": plan.latency_ms(module),
                "utilization": module.utilization,
                "reason": module.reason,
            }
            for module in plan.modules
        ],
    }


def service_plan_table(plan: ServicePlan, device_class: str, *, explained: bool) -> str:
    """One plan as text; `explained`: with the reason of each decision below."""
    rows = [_COLUMNS, *(_row(plan, module) for module in plan.modules)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = [f"{plan.service} on {device_class}: {_summary(plan)}"]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if explained:
        lines += [f"{plan.service}: {plan.reason}", *(f"{each.name}: {each.reason}" for each in plan.modules)]
    return "\n".join(lines)


def _row(plan: ServicePlan, module: ModulePlan) -> Sequence[str]:
    return (
        module.name,
        str(module.batch.size),
        f"{module.batch.max_wait_ms:g}",
        f"{module.budget_ms:g}",
        _number(plan.latency_ms(module)),
        _share(module.utilization),
    )


def _summary(plan: ServicePlan) -> str:
    if plan.worst_case_ms is None:
        return f"nothing is known of its latency: {plan.reason}"
    used = "" if plan.utilization is None else f"; the device is used for {_share(plan.utilization)}"
    used += "" if plan.cost_per_hour is None else f"; costs {_number(plan.cost_per_hour)} an hour"
    latency = f"at most {_number(plan.worst_case_ms)} ms"
    if plan.feasible:
        return f"{latency}, of an objective of {plan.objective_ms:g} ms{used}"
    needed = "" if plan.needed_ms is None else f"; {_number(plan.needed_ms)} ms could be held"
    return f"{latency}, which does not hold the objective of {plan.objective_ms:g} ms{needed}{used}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
