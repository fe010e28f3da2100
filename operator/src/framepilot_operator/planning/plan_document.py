"""A workload's plan as JSON: one allocation for each configuration that is used, numbers as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from framepilot_operator.planning.allocation import CostModel, Instance, ModuleAllocation, WorkloadPlan
from framepilot_operator.planning.moves import Moves
from framepilot_operator.planning.simulation.outcome import Latencies, Outcome

Document = dict[str, object]


def plan_document(
    plan: WorkloadPlan, runtime_ms: float, outcome: Outcome | None = None, moves: Moves | None = None
) -> Document:
    """The whole plan, for `json.dumps`; `outcome` is what its simulation found, `moves` what it moves of what ran."""
    nearest = plan.nearest_feasible
    return {
        "feasible": plan.feasible,
        "cost": plan.cost,
        "cost_model": plan.cost_model,
        "latency_ms": plan.latency_ms,
        "runtime_ms": runtime_ms,
        "modules": [_module(module, plan.cost_model) for module in plan.modules],
        "nearest_feasible": None
        if nearest is None
        else {"objective_ms": nearest.objective_ms, "rate_factor": nearest.rate_factor, "devices": nearest.devices},
        "simulated": None if outcome is None else _simulated(outcome),
        "moves": None if moves is None else {"started": moves.started, "stopped": moves.stopped},
        "bound": plan.bound,
        "gap": plan.gap,
        "complete": plan.complete,
        "reason": plan.reason,
    }


def _simulated(outcome: Outcome) -> Document:
    """From end to end, and for each module; what is infinite in a run that was broken off is null."""
    return {
        **_latencies(outcome.end_to_end),
        "complete": outcome.complete,
        "modules": [
            {"name": each.name, **_latencies(each.latencies), "dummy_rate": each.dummy_rate} for each in outcome.modules
        ],
    }


def _latencies(latencies: Latencies) -> Document:
    p50_ms, p99_ms = (value if math.isfinite(value) else None for value in (latencies.p50_ms, latencies.p99_ms))
    return {
        "p50_ms": p50_ms,
        "p99_ms": p99_ms,
        "predicted_ms": latencies.predicted_ms,
        "attainment": latencies.attainment,
    }


def _module(module: ModuleAllocation, cost_model: CostModel) -> Document:
    return {
        "name": module.name,
        "budget_ms": module.budget_ms,
        "latency_ms": module.latency_ms,
        "allocations": _allocations(module, cost_model),
    }


def _allocations(module: ModuleAllocation, cost_model: CostModel) -> list[Document]:
    """One for each configuration; dummies are counted where they come last, so that the rates sum to the module's."""
    groups = [tuple(group) for _, group in groupby(module.instances, key=lambda each: each.configuration)]
    dummies = module.dummy_rate
    documents: list[Document] = []
    for group in reversed(groups):
        load = sum(each.load for each in group)
        dummy_rate = min(dummies, load)
        dummies -= dummy_rate
        documents.append(_allocation(group, load, dummy_rate, cost_model))
    return documents[::-1]


def _allocation(group: Sequence[Instance], load: float, dummy_rate: float, cost_model: CostModel) -> Document:
    configuration = group[0].configuration
    paid = sum(each.host is None for each in group)
    document: Document = {
        "device": configuration.device,
        "batch": configuration.batch,
        "instances": load / configuration.throughput if cost_model == "fractional" else paid,
        "rate": load - dummy_rate,
        "dummy_rate": dummy_rate,
    }
    hosts = [each.host for each in group if each.host is not None]
    if hosts:
        document["shared_with"] = hosts[0]
    return document
