"""Every solver by its name: what `framepilot plan --solver` may be.

A solver takes a workload, the cost model, and a clock in seconds by which it keeps within its time; it always answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Final

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.baselines.clipper import clipper
from framepilot_operator.planning.baselines.harpagon import harpagon
from framepilot_operator.planning.baselines.inferline import inferline
from framepilot_operator.planning.baselines.nexus import nexus
from framepilot_operator.planning.baselines.scrooge import scrooge
from framepilot_operator.planning.optimum_planner import plan_optimum
from framepilot_operator.planning.workload import Workload
from framepilot_operator.planning.workload_file import WorkloadError
from framepilot_operator.planning.workload_planner import plan_workload

Clock = Callable[[], float]
Solver = Callable[[Workload, CostModel, Clock], WorkloadPlan]

# SciPy comes with the extra `optimum` of the distribution.
_REFERENCE: Final[Mapping[str, Solver]] = {"optimum": plan_optimum} if find_spec("scipy") else {}

SOLVERS: Final[Mapping[str, Solver]] = {
    "framepilot": plan_workload,
    "harpagon": harpagon,
    "nexus": nexus,
    "scrooge": scrooge,
    "inferline": inferline,
    "clipper": clipper,
    **_REFERENCE,
}

ANY_RULE: Final = ("framepilot", "optimum")
"""Solvers that plan by whichever rule a workload says; published systems know the default one."""


def check_rules(solver: str, workloads: Sequence[Workload]) -> None:
    """That a solver plans by the rules by which workloads collect batches.

    Raises:
        WorkloadError: it does not.
    """
    used = {each.collection for one in workloads for module in one.modules for each in module.configurations}
    if solver not in ANY_RULE and used != {"all"}:
        raise WorkloadError(
            f"the solver '{solver}' plans for `collection` all only: leave it out, or take one of {', '.join(ANY_RULE)}"
        )
