"""Plans the workloads of a file: anew, or with few moves of what runs, and without device classes that are lost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from framepilot_operator.commands.plan_error import PlanError
from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.moves import Moves, Running, moved
from framepilot_operator.planning.previous_file import PreviousPlanError, parse_previous
from framepilot_operator.planning.replan import replan
from framepilot_operator.planning.simulation.outcome import Outcome
from framepilot_operator.planning.simulation.verify import Load, verified
from framepilot_operator.planning.solvers import SOLVERS, check_rules
from framepilot_operator.planning.workload import Workload, without
from framepilot_operator.planning.workload_file import WorkloadError, parse_workloads


@dataclass(frozen=True, slots=True)
class Planning:
    """How workloads are planned: `previous` is the file of the plans that run, `lost` the device classes not to use."""

    cost_model: CostModel
    solver: str
    simulate: bool = False
    previous: Path | None = None
    lost: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, how long it took, what its simulation found, and what it moves; None where that was not asked."""

    plan: WorkloadPlan
    runtime_ms: float
    outcome: Outcome | None
    moves: Moves | None


def plan_workloads(path: Path, how: Planning) -> tuple[list[Planned], bool]:
    """A plan of each workload of a file, and whether the file is a list of them.

    Raises:
        PlanError: a file cannot be read or makes no sense, the plans are not those of the workloads, or no workload
            has a device class that is lost.
    """
    try:
        workloads, listed = parse_workloads(path.read_text(encoding="utf-8"))
        check_rules(how.solver, workloads)
    except (OSError, UnicodeDecodeError, WorkloadError) as error:
        raise PlanError(f"{path}: {error}") from error
    _check_lost(workloads, how.lost)
    before = [None] * len(workloads) if how.previous is None else _previous(how.previous, len(workloads))
    return [_planned(without(each, how.lost), runs, how) for each, runs in zip(workloads, before, strict=True)], listed


def _planned(workload: Workload, running: Running | None, how: Planning) -> Planned:
    def plan(tried: Workload) -> WorkloadPlan:
        if running is not None:
            return replan(tried, running, how.cost_model, time.perf_counter)
        return SOLVERS[how.solver](tried, how.cost_model, time.perf_counter)

    start = time.perf_counter()
    if how.simulate:
        verdict = verified(workload, plan, Load())
        made, outcome = verdict.plan, verdict.outcome
    else:
        made, outcome = plan(workload), None
    moves = None if running is None or not made.feasible else moved(running, made)
    return Planned(made, (time.perf_counter() - start) * 1000.0, outcome, moves)


def _previous(path: Path, workloads: int) -> Sequence[Running]:
    try:
        plans = parse_previous(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, PreviousPlanError) as error:
        raise PlanError(f"{path}: {error}") from error
    if len(plans) != workloads:
        raise PlanError(
            f"{path}: the number of plans in it is {len(plans)}, and that of workloads {workloads}; "
            "give the plan of each workload, in the same order"
        )
    return plans


def _check_lost(workloads: Sequence[Workload], lost: Sequence[str]) -> None:
    known = sorted({each.device for one in workloads for module in one.modules for each in module.configurations})
    for device in lost:
        if device not in known:
            meant = get_close_matches(device, known, 1) or [", ".join(known)]
            raise PlanError(f"--without {device}: no module has a configuration on it; give one of those: {meant[0]}")
