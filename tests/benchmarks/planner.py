"""`python -m benchmarks.planner` (with tests/ in PYTHONPATH): the planner of workloads against the optimum.

Rewrites what follows the marker in docs/planner.md, and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

from benchmarks import plots
from benchmarks.machine import processor, ran_on
from benchmarks.page import up_to, write
from benchmarks.result import Gate, Result, quantile, told
from framepilot_operator.planning.allocation import WorkloadPlan
from framepilot_operator.planning.optimum_planner import find_optimum
from framepilot_operator.planning.workload import Workload
from framepilot_operator.planning.workload_file import read_workload
from framepilot_operator.planning.workload_planner import plan_workload
from support.workloads import GRAPHS, gpu_workload, workload

PAGE = Path(__file__).parents[2] / "docs" / "planner.md"
MARKER = "<!-- What follows is written by make bench-planner. -->"
TABLES = {"made-up devices": workload, "real GPUs": gpu_workload}
"""Where latencies are from: half of the workloads have these, half those."""
EASED = 1.1
RUNS = 5


@dataclass(frozen=True)
class Case:
    """One workload with what was planned for it."""

    seed: int
    graph: str
    table: str
    workload: Workload
    plan: WorkloadPlan
    runtime_ms: float
    optimum: float | None
    """The proved optimum; None where it was not proved in its time."""
    method: str
    """What proved it: the other method, or the planner's own search with more effort."""
    gap: float
    """How far above the optimum the plan is: of one that is not proved, above what it is known to be at least."""
    violations: int
    """Times that a longer objective or lower rates gave a dearer plan."""
    whole: float
    """The whole cost over the fractional one."""
    unshared: float | None
    """The whole cost over the proved optimum without sharing."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="the first workload's")
    parser.add_argument("--reference-s", type=float, default=10.0, help="time for the optimum of one workload")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="references that are found side by side")
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + given.workloads)
    # One at a time, as nothing else may run where times are measured; the references may use all cores.
    timed = [_timed(_read(seed)) for seed in seeds]
    growth = _growth()
    print(f"planner: {len(timed)} workloads are planned; their optima are looked for", flush=True)
    with ProcessPoolExecutor(given.jobs) as pool:
        cases = list(pool.map(_case, seeds, timed, repeat(given.reference_s)))
    results = [_fractional(cases), _whole(cases), growth]
    command = f"python -m benchmarks.planner --workloads {given.workloads} --seed {given.seed}"
    write(PAGE, up_to(MARKER, PAGE), ran_on(processor(), command=command), results)
    return told(results)


def _graph(seed: int) -> str:
    return GRAPHS[seed // len(TABLES) % len(GRAPHS)]


def _table(seed: int) -> str:
    return [*TABLES][seed % len(TABLES)]


def _read(seed: int) -> Workload:
    return read_workload(TABLES[_table(seed)](seed, _graph(seed)))


def _case(seed: int, timed: tuple[WorkloadPlan, float], reference_s: float) -> Case:
    one = _read(seed)
    plan, runtime_ms = timed
    assert plan.cost is not None
    found = find_optimum(one, "fractional", time.perf_counter, reference_s)
    least = found.best.cost if found.proved and found.best else max(found.bound, plan.bound or 0.0)
    whole = plan_workload(one, "whole", time.perf_counter)
    unshared = find_optimum(one, "whole", time.perf_counter, reference_s)
    assert whole.cost is not None
    return Case(
        seed=seed,
        graph=_graph(seed),
        table=_table(seed),
        workload=one,
        plan=plan,
        runtime_ms=runtime_ms,
        optimum=found.best.cost if found.proved and found.best else None,
        method=found.method,
        gap=max(plan.cost / least - 1, 0.0),
        violations=_violations(one, plan.cost),
        whole=whole.cost / plan.cost,
        unshared=whole.cost / unshared.best.cost if unshared.proved and unshared.best else None,
    )


def _timed(one: Workload) -> tuple[WorkloadPlan, float]:
    """The plan, and the least CPU time of a few runs: what else runs on the machine slows some of them down."""
    times: list[float] = []
    for _ in range(RUNS):
        start = time.process_time()
        plan = plan_workload(one, "fractional", time.perf_counter)
        times.append((time.process_time() - start) * 1000.0)
    return plan, min(times)


def _violations(one: Workload, cost: float) -> int:
    longer = replace(one, objective_ms=one.objective_ms * EASED)
    slower = replace(one, modules=tuple(replace(each, rate=each.rate / EASED) for each in one.modules))
    costs = [plan_workload(each, "fractional", time.perf_counter).cost for each in (longer, slower)]
    return sum(each is None or each > cost * (1 + 1e-9) for each in costs)


def _fractional(cases: Sequence[Case]) -> Result:
    rows = [
        (
            "of these",
            "workloads",
            "optimum proved",
            "within 1e-6 of it",
            "most above",
            "median ms",
            "p99 ms",
            "slowest ms",
        )
    ]
    for group in (*GRAPHS, *TABLES, "all"):
        some = [case for case in cases if group in {case.graph, case.table, "all"}]
        above = _above(some)
        times = [case.runtime_ms for case in some]
        rows.append(
            (
                group,
                str(len(some)),
                str(len(above)),
                f"{_share(above):.2%}",
                f"{max(above, default=0.0):.2%}",
                f"{statistics.median(times):.1f}",
                f"{quantile(times, 0.99):.0f}",
                f"{max(times):.0f}",
            )
        )
    above = _above(cases)
    times = [case.runtime_ms for case in cases]
    unproved = [str(case.seed) for case in cases if case.optimum is None]
    own = [str(case.seed) for case in cases if case.optimum is not None and case.method == "search"]
    figures = {
        "planner_workloads": len(cases),
        "planner_proved": len(above),
        "planner_share_at_optimum": _share(above),
        "planner_most_above": max(case.gap for case in cases),
        "planner_median_ms": statistics.median(times),
        "planner_p99_ms": quantile(times, 0.99),
        "planner_violations": sum(case.violations for case in cases),
        "planner_proves_itself": sum(case.plan.complete for case in cases) / len(cases),
    }
    method = (
        f"Each workload is planned (milliseconds are CPU time, the least of {RUNS} runs), and its optimum "
        "is found by the other method (`--solver optimum`), with a limit of time. Where that does not end in time, the "
        f"planner's own search with hundreds of times the effort has the word: {', '.join(own) or 'none'} (seeds). Not "
        f"proved by either: {', '.join(unproved) or 'none'}; for these the best bound that was found counts. "
        f"The planner itself proves its plan for {figures['planner_proves_itself']:.1%}. A longer objective and lower "
        f"rates (by {EASED - 1:.0%}) gave a dearer plan {figures['planner_violations']} times in {2 * len(cases)}."
    )
    gates = [
        Gate("share of proved workloads within 1e-6 of the optimum", figures["planner_share_at_optimum"], 0.99, True),
        Gate("most above the optimum, or the bound", figures["planner_most_above"], 0.02, False),
        Gate("median, milliseconds", figures["planner_median_ms"], 10, False),
        Gate("p99, milliseconds", figures["planner_p99_ms"], 50, False),
        Gate("goal: median, milliseconds", figures["planner_median_ms"], 3, False),
        Gate("goal: p99, milliseconds", figures["planner_p99_ms"], 20, False),
    ]
    points = {
        graph: [(len(case.workload.modules), case.runtime_ms) for case in cases if case.graph == graph]
        for graph in GRAPHS
    }
    plot = plots.scattered("planner-time", points, ("modules", "milliseconds"))
    return Result("Against the optimum", method, rows, figures, gates, plot)


def _above(cases: Sequence[Case]) -> list[float]:
    return [case.gap for case in cases if case.optimum is not None]


def _share(above: Sequence[float]) -> float:
    return sum(each <= 1e-6 for each in above) / len(above) if above else math.nan


def _whole(cases: Sequence[Case]) -> Result:
    ratios = [case.whole for case in cases]
    unshared = [case.unshared for case in cases if case.unshared is not None]
    rows = [
        ("", "median", "mean", "least", "most"),
        ("over the fractional optimum", *_spread(ratios)),
        ("over the optimum of whole instances without sharing", *_spread(unshared)),
    ]
    cheaper = sum(each < 1 - 1e-9 for each in unshared)
    same = sum(abs(each - 1) <= 1e-9 for each in unshared)
    method = (
        f"The optimum without sharing was proved for {len(unshared)} of {len(cases)}; the planner's plan costs the "
        f"same in {same} of them and less, because instances are shared, in {cheaper}. The optimum with sharing is not "
        "known."
    )
    figures = {"planner_whole_over_fractional": statistics.median(ratios), "planner_whole_shared": cheaper}
    return Result("Whole instances", method, rows, figures, [])


def _spread(values: Sequence[float]) -> tuple[str, ...]:
    if not values:
        return ("", "", "", "")
    return tuple(
        f"{each:.3f}" for each in (statistics.median(values), statistics.mean(values), min(values), max(values))
    )


def _growth() -> Result:
    rows = [("modules", "rates", "instances", "milliseconds", "gap")]
    for modules, factor in ((1, 1), (10, 1), (30, 1), (100, 1), (5, 1), (5, 10), (5, 100), (5, 1000)):
        document = workload(2, "tree", modules)
        one = read_workload(document)
        one = replace(
            one,
            objective_ms=one.objective_ms * 1.5,
            modules=tuple(replace(each, rate=each.rate * factor) for each in one.modules),
        )
        plan, runtime_ms = _timed(one)
        instances = sum(len(module.instances) for module in plan.modules)
        rows.append((str(modules), f"x {factor}", str(instances), f"{runtime_ms:.0f}", f"{plan.gap or 0.0:.1e}"))
    return Result(
        "Growth", "Trees of the same seed with half as much time again; their rates multiplied.", rows, {}, []
    )


if __name__ == "__main__":
    sys.exit(main())
