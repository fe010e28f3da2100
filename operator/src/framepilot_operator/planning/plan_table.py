"""A workload's plan as text for a person: a line for each configuration that is used."""

from __future__ import annotations

from itertools import groupby

from framepilot_operator.planning.allocation import NearestFeasible, WorkloadPlan
from framepilot_operator.planning.moves import Moves
from framepilot_operator.planning.simulation.outcome import Outcome


def plan_table(
    plan: WorkloadPlan, runtime_ms: float, outcome: Outcome | None = None, moves: Moves | None = None
) -> str:
    """The plan, or why there is none; `outcome` is what its simulation found, `moves` what it moves of what ran."""
    if not plan.feasible or plan.cost is None or plan.latency_ms is None:
        lines = [f"infeasible: {plan.reason}"]
        if plan.nearest_feasible is not None:
            lines.append(f"would do: {_nearest(plan.nearest_feasible)}")
        return "\n".join(lines)
    rows = [("MODULE", "DEVICE", "BATCH", "INSTANCES", "RATE/S", "LATENCY MS")]
    for module in plan.modules:
        for configuration, group in groupby(module.instances, key=lambda each: each.configuration):
            instances = list(group)
            load = sum(each.load for each in instances)
            shown = load / configuration.throughput
            if plan.cost_model == "whole":
                shown = sum(each.host is None for each in instances)
            rows.append(
                (
                    module.name,
                    configuration.device,
                    str(configuration.batch),
                    f"{shown:.3g}",
                    f"{load:.4g}",
                    f"{module.latency_ms:.4g}",
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    proof = "the optimum" if plan.gap is not None and plan.gap <= 1e-9 else f"at most {plan.gap or 0:.2%} above it"
    lines.append(
        f"{plan.cost:.6g} an hour ({plan.cost_model}), {proof}; {plan.latency_ms:.6g} ms; {runtime_ms:.1f} ms to plan"
    )
    if outcome is not None:
        found = outcome.end_to_end
        lines.append(f"simulated: p99 {found.p99_ms:.6g} ms, {found.attainment:.2%} within the objective")
    if moves is not None:
        lines.append(f"moves: {moves.started} started, {moves.stopped} stopped")
    if plan.reason is not None:
        lines.append(plan.reason)
    return "\n".join(lines)


def _nearest(nearest: NearestFeasible) -> str:
    devices = "" if nearest.devices is None else f", on {nearest.devices} device{'s' * (nearest.devices != 1)}"
    if nearest.objective_ms is not None:
        return f"an objective of {nearest.objective_ms:g} ms{devices}"
    return f"{nearest.rate_factor or 0:.3g} of the rates; all of them take at least {nearest.devices} devices"
