"""Plans a workload again where something runs already: few instances move, and the cost stays close to the least.

What ran on a device class that is lost matches no configuration any more, so it moves at once, and what runs elsewhere
is moved for it only if that has to be, or costs less than the hysteresis otherwise. Ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.fewest_moves import FewestMoves
from framepilot_operator.planning.moves import Running, moved
from framepilot_operator.planning.pieces import PROVED
from framepilot_operator.planning.workload import Workload
from framepilot_operator.planning.workload_planner import TIME_S, solved
from framepilot_operator.planning.workload_search import Clock

HYSTERESIS: Final = 0.05
"""What runs is kept while it costs at most this share more than the cheapest plan."""


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
    reason = _reason(fewest.plan, cheapest, running, hysteresis)
    known = cheapest.reason
    return replace(fewest.plan, reason=reason if known is None else f"{known}; {reason}")


def _reason(plan: WorkloadPlan, cheapest: WorkloadPlan, running: Running, hysteresis: float) -> str:
    moves, anew = moved(running, plan), moved(running, cheapest)
    above = (plan.cost or 0.0) / (cheapest.cost or 1.0) - 1
    what = f"starts {moves.started} and stops {moves.stopped} instances" if any(moves) else "what runs is kept"
    if above <= PROVED:
        return f"{what}: it is the cheapest plan"
    return (
        f"{what}: it costs {above:.2%} more than the cheapest plan, which starts {anew.started} and stops "
        f"{anew.stopped}; up to {hysteresis:.0%} more is good enough"
    )
