"""`python -m benchmarks.plans` (with tests/ in PYTHONPATH): plans against other planners', simulated, and made again.

Writes docs/plans.md, and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from random import Random

from benchmarks import collection, plots
from benchmarks.drift import drift, lost_device
from benchmarks.machine import processor, ran_on
from benchmarks.page import write
from benchmarks.result import Gate, Result, quantile, ratios_row, told
from framepilot_operator.planning.allocation import Instance, ModuleAllocation, WorkloadPlan, collection_rates
from framepilot_operator.planning.baselines.harpagon import Parts, harpagon_with
from framepilot_operator.planning.simulation import arrivals
from framepilot_operator.planning.simulation.outcome import Outcome
from framepilot_operator.planning.simulation.service_times import between, exact
from framepilot_operator.planning.simulation.simulate import simulate
from framepilot_operator.planning.simulation.verify import STEPS, Load, Verdict, length_s, verified
from framepilot_operator.planning.solvers import SOLVERS
from framepilot_operator.planning.workload import Configuration, Workload, WorkloadModule
from framepilot_operator.planning.workload_file import read_workload
from framepilot_operator.planning.workload_planner import plan_workload
from support.workloads import GRAPHS, workload

PAGE = Path(__file__).parents[2] / "docs" / "plans.md"
BEGINNING = """# Plans, compared and simulated

Written by `make bench-plans`. How plans are made and simulated says [another page](planner.md)."""
BASELINES = ("harpagon", "scrooge", "nexus", "clipper", "inferline")
PAPER = "1.49 to 2.37"
LOADS = {
    "cameras, phases even": Load(),
    "the same, batches 5 % shorter at the median, p99 as planned": Load(service_times=between(0.95, 1.0)),
    "cameras, phases by chance": Load(arrivals=arrivals.unsynchronised_cameras),
    "Poisson": Load(arrivals=arrivals.poisson),
    "bursts": Load(arrivals=arrivals.bursty),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", type=int, default=1000)
    parser.add_argument("--simulated", type=int, default=200, help="how many of them are simulated")
    parser.add_argument("--drifting", type=int, default=24, help="how many are planned again, as their rates drift")
    parser.add_argument("--seed", type=int, default=0, help="the first workload's")
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + given.workloads)
    workloads = [read_workload(workload(seed, GRAPHS[seed % len(GRAPHS)])) for seed in seeds]
    plans = [plan_workload(each, "fractional", time.perf_counter) for each in workloads]
    some, their = workloads[: given.simulated], plans[: given.simulated]
    results = [
        _baselines(workloads, plans),
        _parts(workloads),
        _held(some, their),
        _repaired(some),
        _waits(),
        collection.saved(workloads, plans),
        collection.held(some),
        _speed(),
        drift(seeds[: given.drifting]),
        lost_device(seeds[: given.drifting]),
    ]
    command = (
        f"python -m benchmarks.plans --workloads {given.workloads} --simulated {given.simulated} "
        f"--drifting {given.drifting}"
    )
    write(PAGE, BEGINNING, ran_on(processor(), command=command), results)
    return told(results)


def _baselines(workloads: Sequence[Workload], plans: Sequence[WorkloadPlan]) -> Result:
    rows = [("planner", "finds none", "mean", "10 %", "median", "90 %", "largest", "within 1e-6", "median ms")]
    figures: dict[str, float] = {}
    found: dict[str, list[float]] = {}
    for name in BASELINES:
        ratios, times, none = [], [], 0
        for each, ours in zip(workloads, plans, strict=True):
            start = time.process_time()
            made = SOLVERS[name](each, "fractional", time.perf_counter)
            times.append((time.process_time() - start) * 1000)
            if made.cost is None or ours.cost is None:
                none += 1
            else:
                ratios.append(made.cost / ours.cost)
        rows.append(
            (name, str(none), *ratios_row(ratios, max), f"{_share(ratios):.1%}", f"{statistics.median(times):.1f}")
        )
        found[name] = ratios
        figures[f"plans_{name}_mean_ratio"] = statistics.mean(ratios)
        figures[f"plans_{name}_least_ratio"] = min(ratios)
    method = (
        f"Fractional cost of other planners' plans over that of Framepilot's, for {len(workloads)} seeded workloads. "
        f"Harpagon reports {PAPER} times lower cost than the systems before it, with its own workloads and its own "
        "implementations of them. Here they all may fill batches with dummies, and Nexus and Scrooge choose the "
        "cheapest device class, so they are stronger than as published."
    )
    least = min(figures[f"plans_{name}_least_ratio"] for name in BASELINES)
    gates = [Gate("least cost ratio to any of them", least, 0.98, True)]
    plot = plots.distributions("planners", found, "cost over that of Framepilot's plan")
    return Result("Other planners", method, rows, figures, gates, plot)


def _parts(workloads: Sequence[Workload]) -> Result:
    rows = [("left out", "mean", "10 %", "median", "90 %", "largest")]
    figures: dict[str, float] = {}
    found: dict[str, list[float]] = {}
    whole = [harpagon_with(Parts(), each, "fractional") for each in workloads]
    for field in fields(Parts):
        plans = [harpagon_with(Parts(**{field.name: False}), each, "fractional") for each in workloads]
        ratios = [
            without.cost / made.cost
            for without, made in zip(plans, whole, strict=True)
            if without.cost is not None and made.cost is not None
        ]
        part = field.name.replace("_", " ")
        found[f"without {part}"] = ratios
        rows.append((part, *ratios_row(ratios, max)))
        figures[f"plans_without_{field.name}_mean_ratio"] = statistics.mean(ratios)
    method = (
        "Cost of Harpagon as far as it is known with one of its parts left out, over its cost with all of them: whole "
        "batches to one instance, several configurations for a module, dummies, left-over latency given to modules, "
        "and the split by saved cost (without it: shares by least latency)."
    )
    plot = plots.distributions("parts", found, "cost over that with all parts")
    return Result("What each part brings", method, rows, figures, [], plot)


def _held(workloads: Sequence[Workload], plans: Sequence[WorkloadPlan]) -> Result:
    rows = [("load", "plans", "hold", "p99 / predicted, median", "p99 / predicted, 99 %", "largest / predicted, 99 %")]
    figures: dict[str, float] = {}
    for number, (name, load) in enumerate(LOADS.items()):
        outcomes = [_run(each, plan, load) for each, plan in zip(workloads, plans, strict=True)]
        found = [each for each in outcomes if each is not None]
        held = sum(each.holds for each in found) / len(found)
        p99 = [each.end_to_end.p99_ms / each.end_to_end.predicted_ms for each in found]
        largest = [each.end_to_end.largest_ms / each.end_to_end.predicted_ms for each in found]
        rows.append(
            (
                name,
                str(len(found)),
                f"{held:.1%}",
                f"{statistics.median(p99):.2f}",
                f"{quantile(p99, 0.99):.2f}",
                f"{quantile(largest, 0.99):.2f}",
            )
        )
        figures[f"plans_held_{number}"] = held
    method = (
        "Each plan as it is, at the load it was planned for, without a margin. It holds if its p99 is within the "
        "objective. A saturated instance has no time to spare, so arrivals by chance build queues that stay."
    )
    gates = [Gate("goal: plans that hold with even cameras, as they are", figures["plans_held_0"], 0.995, True)]
    return Result("Plans in simulated time, as they are", method, rows, figures, gates)


def _repaired(workloads: Sequence[Workload]) -> Result:
    verdicts = [verified(each, _plan, Load()) for each in workloads]
    simulated = [each for each in verdicts if each.outcome is not None]
    holds = [each for each in simulated if each.plan.feasible]
    rows = [("planned again", "plans", "largest margin of a module, mean", "cost / bound, mean")]
    rows += [
        _after([each for each in holds if each.repairs == repairs], str(repairs)) for repairs in range(len(STEPS) + 1)
    ]
    rows.append(("refused", str(len(simulated) - len(holds)), "", ""))
    share = len(holds) / len(simulated)
    method = (
        "The same with even cameras; a plan that does not hold is planned again, step by step, with more than the "
        "rates of the modules that were late; the bound of the workload does not have that margin."
    )
    gates = [Gate("plans whose simulated p99 is within the objective", share, 0.995, True)]
    return Result("Plans with the margin they need", method, rows, {"plans_repaired_share": share}, gates)


def _after(verdicts: Sequence[Verdict], repairs: str) -> tuple[str, str, str, str]:
    margins = [max(each.margins.values(), default=0.0) for each in verdicts]
    ratios = [each.plan.cost / each.plan.bound for each in verdicts if each.plan.cost and each.plan.bound]
    if not ratios:
        return repairs, str(len(verdicts)), "", ""
    return repairs, str(len(verdicts)), f"{statistics.mean(margins):.0%}", f"{statistics.mean(ratios):.3f}"


def _waits() -> Result:
    """One saturated instance, even arrivals: the rule, and the rule less the request that completes the batch."""
    rows = [("batch", "d + b/w, ms", "d + (b - 1)/w, ms", "largest simulated, ms")]
    worst = 0.0
    for batch in (1, 2, 4, 8, 16, 32):
        configuration = Configuration("gpu", 1.0, batch, 10.0 + 2 * batch)
        rate = configuration.throughput
        one = Workload(1000.0, (WorkloadModule("a", (), rate, (configuration,)),))
        allocation = ModuleAllocation("a", rate, 1000.0, (Instance(configuration, rate),))
        plan = WorkloadPlan(True, "fractional", modules=(allocation,))
        outcome = simulate(one, plan, _even, 20.0, Random(1))
        shorter = configuration.latency_ms + 1000 * (batch - 1) / collection_rates(allocation.instances)[0]
        worst = max(worst, abs(outcome.end_to_end.largest_ms / shorter - 1))
        rows.append(
            (str(batch), f"{allocation.latency_ms:.1f}", f"{shorter:.1f}", f"{outcome.end_to_end.largest_ms:.1f}")
        )
    method = (
        "One saturated instance with evenly spaced requests. The rule counts b/w for collecting a batch, though its "
        "first request waits for b - 1 others only. The simulation agrees with (b - 1)/w; for a batch of 1 that halves "
        "the worst case."
    )
    gates = [Gate("largest difference to d + (b - 1)/w, relative", worst, 0.001, False)]
    return Result("One request less to wait for", method, rows, {"plans_waits_difference": worst}, gates)


def _speed() -> Result:
    rows = [("modules", "requests a second in all", "instances", "simulated s", "CPU s")]
    longest = 0.0
    for modules, rate in ((1, 1000.0), (10, 1000.0), (30, 1000.0)):
        configuration = Configuration("gpu", 1.0, 16, 80.0)
        names = [f"m{index}" for index in range(modules)]
        chain = tuple(
            WorkloadModule(name, tuple(names[index - 1 : index] if index else ()), rate, (configuration,))
            for index, name in enumerate(names)
        )
        one = Workload(300.0 * modules, chain)
        plan = plan_workload(one, "fractional", time.perf_counter)
        start = time.process_time()
        simulate(one, plan, arrivals.cameras, 60.0, Random(1), exact)
        took = time.process_time() - start
        longest = max(longest, took)
        instances = sum(len(each.instances) for each in plan.modules)
        rows.append((str(modules), f"{rate * modules:.0f}", str(instances), "60", f"{took:.1f}"))
    method = "A minute of a chain, in CPU seconds of one process."
    return Result("How fast the simulation is", method, rows, {"plans_simulated_minute_s": longest}, [])


def _run(each: Workload, plan: WorkloadPlan, load: Load) -> Outcome | None:
    seconds = length_s(each)
    if seconds is None:
        return None
    return simulate(each, plan, load.arrivals, seconds, Random(load.seed), load.service_times)


def _plan(each: Workload) -> WorkloadPlan:
    return plan_workload(each, "fractional", time.perf_counter)


def _even(rate: float, seconds: float, _random: Random) -> list[float]:
    """Whole batches of all sizes, so that none is left over at the end."""
    return [number / rate for number in range(int(rate * seconds) // 32 * 32)]


def _share(ratios: Sequence[float]) -> float:
    return sum(ratio <= 1 + 1e-6 for ratio in ratios) / len(ratios)


if __name__ == "__main__":
    sys.exit(main())
