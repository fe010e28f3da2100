"""What planning again moves: rates that drift, a device class that is lost. Part of `python -m benchmarks.plans`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from benchmarks.result import Gate, Result
from framepilot_operator.planning.allocation import COST_MODELS, CostModel, WorkloadPlan
from framepilot_operator.planning.moves import Running, instances_of, moved
from framepilot_operator.planning.replan import HYSTERESIS, replan
from framepilot_operator.planning.workload import Workload, without
from framepilot_operator.planning.workload_file import read_workload
from framepilot_operator.planning.workload_planner import plan_workload
from support.workloads import GRAPHS, workload

STEPS = 20
STEP = 0.05
"""By which share a rate changes at most in a step."""
OTHERS = (0.0, 0.02, 0.1)
"""Hysteresis to compare with, under the fractional cost."""
FEWER = 1 / 3
"""Of the instances that planning anew moves, planning again may move this share."""


@dataclass(frozen=True)
class Way:
    """A way of planning: anew, or again with a hysteresis."""

    cost_model: CostModel
    hysteresis: float | None = None

    @property
    def name(self) -> str:
        return "anew" if self.hysteresis is None else f"again, up to {self.hysteresis:.0%} dearer"

    @property
    def figure(self) -> str:
        kept = "anew" if self.hysteresis is None else f"again_{self.hysteresis * 100:.0f}"
        return f"{self.cost_model}_{kept}"

    def plan(self, one: Workload, running: Running) -> WorkloadPlan:
        if self.hysteresis is None:
            return plan_workload(one, self.cost_model, time.perf_counter)
        return replan(one, running, self.cost_model, time.perf_counter, self.hysteresis)


@dataclass
class Walk:
    """What was seen of one way of planning: an entry for each step."""

    moves: list[int] = field(default_factory=list)
    instances: list[int] = field(default_factory=list)
    dearer: list[float] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        still = sum(not each for each in self.moves) / len(self.moves)
        return (
            f"{statistics.mean(self.instances):.1f}",
            f"{statistics.mean(self.moves):.2f}",
            f"{still:.1%}",
            *_dearer(self.dearer),
            f"{statistics.median(self.times_ms):.0f}",
        )


def drift(seeds: Sequence[int]) -> Result:
    """The rates of each workload walk at random."""
    rows = [("cost", "planned", "instances", "moved a step", "steps that move none", "dearer", "at most", "median ms")]
    figures: dict[str, float] = {}
    for cost_model in COST_MODELS:
        others = OTHERS if cost_model == "fractional" else ()
        walks = {Way(cost_model, each): Walk() for each in (None, *sorted({HYSTERESIS, *others}))}
        for seed in seeds:
            _walk(seed, cost_model, walks)
        for way, walk in walks.items():
            rows.append((cost_model, way.name, *walk.cells()))
            figures[f"drift_{way.figure}_moves"] = statistics.mean(walk.moves)
    method = (
        f"The rate of each module of {len(seeds)} seeded workloads walks at random, by up to {STEP:.0%} up or down in "
        f"a step, for {STEPS} steps; each way of planning goes on from its own last plan. Moved are the instances "
        "started and those stopped, and dearer is a plan than the cheapest of its step. Milliseconds are CPU time; "
        "those of planning again include the search for the cheapest plan."
    )
    shares = [
        figures[f"drift_{Way(each, HYSTERESIS).figure}_moves"] / figures[f"drift_{Way(each).figure}_moves"]
        for each in COST_MODELS
    ]
    gates = [Gate("instances moved, of those that planning anew moves, the larger share", max(shares), FEWER, False)]
    return Result("Rates that drift", method, rows, figures, gates)


def lost_device(seeds: Sequence[int]) -> Result:
    """Of the device classes that a plan uses, each is lost by itself."""
    rows = [("cost", "planned", "lost", "others", "of them stopped", "started", "dearer", "at most")]
    figures: dict[str, float] = {}
    counts: list[str] = []
    for cost_model in COST_MODELS:
        cases = [case for seed in seeds for case in _cases(seed, cost_model)]
        counts.append(str(len(cases)))
        gone = sum(lost for _, _, lost in cases)
        others = sum(running.total() - lost for _, running, lost in cases)
        for way in (Way(cost_model), Way(cost_model, HYSTERESIS)):
            stopped = started = 0
            dearer: list[float] = []
            for one, running, lost in cases:
                plan = way.plan(one, running)
                moves = moved(running, plan)
                stopped += moves.stopped - lost
                started += moves.started
                dearer.append(_above(plan, plan_workload(one, cost_model, time.perf_counter)))
            rows.append((cost_model, way.name, str(gone), str(others), str(stopped), str(started), *_dearer(dearer)))
            figures[f"lost_{way.figure}_others_stopped"] = stopped / others
    method = (
        f"Each device class that the plan of one of these workloads uses is lost by itself, where something holds the "
        f"objective without it ({' and '.join(counts)} cases). Lost are the instances on it, which have to move; "
        "stopped are those of the others that the new plan has no more."
    )
    kept = max(figures[f"lost_{Way(each, HYSTERESIS).figure}_others_stopped"] for each in COST_MODELS)
    anew = max(figures[f"lost_{Way(each).figure}_others_stopped"] for each in COST_MODELS)
    gates = [Gate("others stopped, the larger share; at most that of planning anew", kept, round(anew, 3), False)]
    return Result("A device class that is lost", method, rows, figures, gates)


def _walk(seed: int, cost_model: CostModel, walks: Mapping[Way, Walk]) -> None:
    random = Random(seed)
    one = _workload(seed)
    first = instances_of(plan_workload(one, cost_model, time.perf_counter))
    running = dict.fromkeys(walks, first)
    for _ in range(STEPS):
        rates = [each.rate * (1 + random.uniform(-STEP, STEP)) for each in one.modules]
        modules = tuple(replace(each, rate=rate) for each, rate in zip(one.modules, rates, strict=True))
        one = replace(one, modules=modules)
        cheapest = plan_workload(one, cost_model, time.perf_counter)
        for way, walk in walks.items():
            start = time.process_time()
            plan = way.plan(one, running[way])
            walk.times_ms.append((time.process_time() - start) * 1000)
            walk.dearer.append(_above(plan, cheapest))
            walk.moves.append(sum(moved(running[way], plan)))
            running[way] = instances_of(plan)
            walk.instances.append(running[way].total())


def _cases(seed: int, cost_model: CostModel) -> Iterator[tuple[Workload, Running, int]]:
    """The workload without a device class, what ran with it, and how much of that on the device class."""
    one = _workload(seed)
    running = instances_of(plan_workload(one, cost_model, time.perf_counter))
    for device in sorted({place.device for place in running}):
        left = without(one, [device])
        if plan_workload(left, cost_model, time.perf_counter).feasible:
            yield left, running, sum(count for place, count in running.items() if place.device == device)


def _workload(seed: int) -> Workload:
    return read_workload(workload(seed, GRAPHS[seed % len(GRAPHS)]))


def _above(plan: WorkloadPlan, cheapest: WorkloadPlan) -> float:
    assert plan.cost is not None
    assert cheapest.cost is not None
    return plan.cost / cheapest.cost - 1


def _dearer(shares: Sequence[float]) -> tuple[str, str]:
    # Adding 0 makes no negative zero of what rounding leaves.
    mean, most = (round(each, 4) + 0.0 for each in (statistics.mean(shares), max(shares)))
    return f"{mean:.2%}", f"{most:.2%}"
