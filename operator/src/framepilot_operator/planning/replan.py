"""Plans a workload again where something runs already: few instances move, and the cost stays close to the least.

What ran on a device class that is lost matches no configuration any more, so it moves at once, and what runs elsewhere
is moved for it only if that has to be, or costs less than the hysteresis otherwise. Ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.fewest_moves import FewestMoves
from framepilot_operator.planning.moves import Running, by_rank, moved
from framepilot_operator.planning.pieces import PROVED
from framepilot_operator.planning.workload import Workload
from framepilot_operator.planning.workload_planner import TIME_S, solved
from framepilot_operator.planning.workload_search import Clock

HYSTERESIS: Final = 0.05
"""What runs is kept while it costs at most this share more than the cheapest plan.

docs/plans.md compares: with less, rates that drift move several times as many instances; more is dearer for little.
"""


def replan(
    workload: Workload, running: Running, cost_model: CostModel, clock: Clock, hysteresis: float = HYSTERESIS
) -> WorkloadPlan:
    """A plan that costs at most `1 + hysteresis` times what `plan_workload` finds; its reason says what moves."""
    cheapest, search = solved(workload, cost_model, clock)
    if search is None or cheapest.cost is None:
        return cheapest
    deadline = clock() + TIME_S
    limit = cheapest.cost * (1 + hysteresis)
    fewest = FewestMoves(search, cheapest, running, limit, lambda: clock() > deadline)
    fewest.run()
    reason = _reason(workload, fewest.plan, cheapest, running, hysteresis)
    known = cheapest.reason
    return replace(fewest.plan, reason=reason if known is None else f"{known}; {reason}")


def _reason(workload: Workload, plan: WorkloadPlan, cheapest: WorkloadPlan, running: Running, hysteresis: float) -> str:
    lost = running.total() - sum(sum(by_rank(running, module).values()) for module in workload.modules)
    said = [f"{lost} of the instances that ran have no configuration any more"] if lost else []
    above = (plan.cost or 0.0) / (cheapest.cost or 1.0) - 1
    if not any(moved(running, plan)):
        said.append("no change")
    if above <= PROVED:
        said.append("it is the cheapest plan")
    else:
        anew = moved(running, cheapest)
        said.append(
            f"it costs {above:.2%} more than the cheapest plan, which would start {anew.started} and stop "
            f"{anew.stopped} instances; up to {hysteresis:.0%} more is accepted to move fewer"
        )
    return "; ".join(said)
