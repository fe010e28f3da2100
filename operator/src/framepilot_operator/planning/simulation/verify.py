"""A plan is not believed before it was simulated; one that is refuted is planned again with a margin, or refused.

The latency rule is a worst case only for requests that come evenly, and for instances that are never in each other's
way. So a plan is run as it would serve (`simulate.py`). If 99 of 100 requests do not make the objective, the workload
is planned for a little more than its rates, and a little less than its objective; what is planned too much is load for
dummies, so that it is still a plan of the workload, only dearer. The margins are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from framepilot_operator.planning.allocation import WorkloadPlan
from framepilot_operator.planning.simulation.arrivals import Arrivals, cameras
from framepilot_operator.planning.simulation.outcome import Outcome
from framepilot_operator.planning.simulation.service_times import ServiceTimes, exact
from framepilot_operator.planning.simulation.simulate import simulate
from framepilot_operator.planning.workload import Workload

FEWEST_REQUESTS: Final = 300
"""So many requests of the slowest module are simulated, unless that makes too many of all."""
MOST_REQUESTS: Final = 300_000
LEAST_S: Final = 10.0
LEAST_OBJECTIVES: Final = 20
"""What is simulated is at least so many objectives long, or says nothing."""
SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Margin:
    """By which shares more than the rates, and less than the objective, is planned for."""

    rates: float
    objective: float


MARGINS: Final = tuple(
    Margin(*each)
    for each in ((0.0, 0.0), (0.02, 0.0), (0.05, 0.0), (0.05, 0.05), (0.1, 0.0), (0.1, 0.1), (0.2, 0.0), (0.2, 0.2))
)
"""Tried one after the other."""

Plan = Callable[[Workload], WorkloadPlan]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A plan, what the simulation found, and with what margin it was planned; no outcome: it was not simulated."""

    plan: WorkloadPlan
    outcome: Outcome | None
    margin: Margin


@dataclass(frozen=True, slots=True)
class Load:
    """What a plan has to hold: how requests arrive, how long batches take, and where chance begins."""

    arrivals: Arrivals = cameras
    service_times: ServiceTimes = exact
    seed: int = SEED


def verified(workload: Workload, plan: Plan, load: Load) -> Verdict:
    """The first plan that holds in simulation; if none does, an infeasible one with the reason."""
    first = plan(workload)
    seconds = length_s(workload)
    if not first.feasible:
        return Verdict(first, None, MARGINS[0])
    if seconds is None:
        reason = "not simulated: its rates are too high, or too different, for a simulation of useful length"
        return Verdict(replace(first, reason=_and(first.reason, reason)), None, MARGINS[0])
    tried: Outcome | None = None
    for margin in MARGINS:
        made = first if margin is MARGINS[0] else _with_margin(workload, plan, margin, first)
        if not made.feasible:
            continue
        tried = simulate(workload, made, load.arrivals, seconds, Random(load.seed), load.service_times)  # noqa: S311 a simulation has to be repeatable
        if tried.holds:
            return Verdict(made, tried, margin)
    reached = "requests pile up" if tried is None or not tried.complete else f"p99 is {tried.end_to_end.p99_ms:.4g} ms"
    reason = (
        f"the simulation refutes every plan: {reached} against an objective of {workload.objective_ms:g} ms with "
        f"{MARGINS[-1].rates:.0%} more planned than needed; give a longer objective, or arrivals that are more even"
    )
    return Verdict(WorkloadPlan(feasible=False, cost_model=first.cost_model, reason=reason), tried, MARGINS[-1])


def length_s(workload: Workload) -> float | None:
    """How many seconds to simulate; None if that would take too many requests to say anything."""
    rates = [module.rate for module in workload.modules]
    objective_s = workload.objective_ms / 1000
    seconds = max(LEAST_S, FEWEST_REQUESTS / min(rates), LEAST_OBJECTIVES * objective_s)
    seconds = min(seconds, MOST_REQUESTS / sum(rates))
    enough = seconds >= LEAST_OBJECTIVES * objective_s and seconds * min(rates) >= 10
    return seconds if enough else None


def _with_margin(workload: Workload, plan: Plan, margin: Margin, first: WorkloadPlan) -> WorkloadPlan:
    """A plan of the workload that has load for more than its rates; the bound stays that of the workload."""
    more = replace(
        workload,
        objective_ms=workload.objective_ms * (1 - margin.objective),
        modules=tuple(replace(each, rate=each.rate * (1 + margin.rates)) for each in workload.modules),
    )
    made = plan(more)
    if not made.feasible or made.cost is None:
        return made
    rates = {module.name: module.rate for module in workload.modules}
    return replace(
        made,
        modules=tuple(replace(each, rate=rates[each.name]) for each in made.modules),
        bound=first.bound,
        gap=None if first.bound is None else made.cost / first.bound - 1,
        reason=_and(
            made.reason,
            f"planned for {margin.rates:.0%} more rate and {margin.objective:.0%} less latency than needed, as the "
            "simulation refutes the cheapest plan",
        ),
    )


def _and(reason: str | None, more: str) -> str:
    return more if reason is None else f"{reason}; {more}"
