"""What plans cost, and whether they hold, if a batch waits for the others than its first request only."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from benchmarks.result import Gate, Result, quantile, ratios_row
from framepilot_operator.planning.allocation import WorkloadPlan
from framepilot_operator.planning.simulation.simulate import simulate
from framepilot_operator.planning.simulation.verify import Load, length_s, verified
from framepilot_operator.planning.workload import Workload
from framepilot_operator.planning.workload_planner import least_latency_ms, plan_workload

GROUPS = (("up to 1.2", 0.0, 1.2), ("1.2 to 2", 1.2, 2.0), ("more than 2", 2.0, float("inf")))


def saved(workloads: Sequence[Workload], plans: Sequence[WorkloadPlan]) -> Result:
    """Cost by the rule over the cost of `plans`, which wait for whole batches."""
    ratios, looseness, complete = [], [], 0
    for one, plan in zip(workloads, plans, strict=True):
        made = _plan(_others(one))
        assert made.cost is not None
        assert plan.cost is not None
        complete += made.complete
        ratios.append(made.cost / plan.cost)
        looseness.append(one.objective_ms / least_latency_ms(one))
    rows = [("objective / shortest", "workloads", "mean", "10 %", "median", "90 %", "least")]
    for name, low, high in (*GROUPS, ("all", 0.0, float("inf"))):
        some = [ratio for ratio, each in zip(ratios, looseness, strict=True) if low < each <= high]
        rows.append((name, str(len(some)), *ratios_row(some, min)))
    method = (
        f"Fractional cost with `collection` others over that without, for {len(ratios)} seeded workloads, by how many "
        "times the shortest objective that holds without it the objective is: most is saved where it is tight, since "
        f"small batches wait for much less. {complete} of the plans are the proved optimum."
    )
    figures = {"plans_others_mean_ratio": statistics.mean(ratios), "plans_others_least_ratio": min(ratios)}
    gates = [Gate("largest cost ratio", max(ratios), 1 + 1e-6, False)]
    return Result("What waiting for one request less saves", method, rows, figures, gates)


def held(workloads: Sequence[Workload]) -> Result:
    """Plans by both rules in simulated time, as they are and repaired."""
    rows = [("collection", "plans", "hold if even", "hold as they are", "hold repaired", "cost / bound repaired, mean")]
    figures: dict[str, float] = {}
    costs: dict[str, list[float | None]] = {}
    for rule in ("all", "others"):
        some = [one if rule == "all" else _others(one) for one in workloads if length_s(one) is not None]
        verdicts = [verified(one, _plan, Load()) for one in some]
        even = sum(_holds_if_even(one) for one in some) / len(some)
        as_they_are = sum(each.repairs == 0 and each.plan.feasible for each in verdicts) / len(some)
        repaired = [each for each in verdicts if each.plan.feasible]
        above = [each.plan.cost / each.plan.bound for each in repaired if each.plan.cost and each.plan.bound]
        costs[rule] = [each.plan.cost for each in verdicts]
        rows.append(
            (
                rule,
                str(len(some)),
                f"{even:.1%}",
                f"{as_they_are:.1%}",
                f"{len(repaired) / len(some):.1%}",
                f"{statistics.mean(above):.3f}",
            )
        )
        figures[f"plans_{rule}_even"] = even
        figures[f"plans_{rule}_held"] = as_they_are
        figures[f"plans_{rule}_repaired"] = len(repaired) / len(some)
    ratios = [fewer / every for fewer, every in zip(costs["others"], costs["all"], strict=True) if fewer and every]
    figures["plans_others_repaired_mean_ratio"] = statistics.mean(ratios)
    dearer = sum(ratio > 1 + 1e-6 for ratio in ratios)
    method = (
        "Frames at even intervals, and from even cameras, whose frames are a little early or late: the other rule has "
        "an arrival to spare for that, this one has none, so more plans need repair. When both are repaired, plans "
        f"with others cost {statistics.mean(ratios):.3f} times as much in the mean, {quantile(ratios, 0.5):.3f} times "
        f"in the median; {dearer} of {len(ratios)} cost more."
    )
    gates = [
        Gate("goal: plans with others that hold as they are", figures["plans_others_held"], 0.995, True),
        Gate("goal: plans with others that hold when repaired", figures["plans_others_repaired"], 0.995, True),
    ]
    return Result("The same in simulated time", method, rows, figures, gates)


def _others(one: Workload) -> Workload:
    modules = tuple(
        replace(module, configurations=tuple(replace(each, collection="others") for each in module.configurations))
        for module in one.modules
    )
    return replace(one, modules=modules)


def _holds_if_even(one: Workload) -> bool:
    seconds = length_s(one)
    assert seconds is not None
    return simulate(one, _plan(one), _even, seconds, Random(1)).holds


def _even(rate: float, seconds: float, _random: Random) -> list[float]:
    return [number / rate for number in range(int(rate * seconds))]


def _plan(one: Workload) -> WorkloadPlan:
    return plan_workload(one, "fractional", time.perf_counter)
