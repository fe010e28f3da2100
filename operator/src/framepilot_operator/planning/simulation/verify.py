"""A plan is not believed before it was simulated; one that is refuted is planned again with a margin, or refused.

The latency rule is a worst case only for requests that come evenly, and for instances that are never in each other's
way; mostly it is broken by modules whose requests come together, several for each input. So a plan is run as it would
serve (`simulate.py`). If 99 of 100 requests do not make the objective, the workload is planned for more than the rates
of those modules that were late; what is planned too much is load for dummies, so that it is still a plan of the
workload, only dearer. The margins are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from framepilot_operator.planning.allocation import WorkloadPlan
from framepilot_operator.planning.simulation.arrivals import Arrivals, cameras
from framepilot_operator.planning.simulation.outcome import ATTAINED, Outcome
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


STEPS: Final = (0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 0.5, 1.0, 1.0)
"""By which share the rates of late modules are raised, one after the other."""

Plan = Callable[[Workload], WorkloadPlan]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A plan, and what the simulation found; no outcome: it was not simulated.

    `margins`: by module, by which share more than its rate it was planned for. `repairs`: how often it was so planned.
    """

    plan: WorkloadPlan
    outcome: Outcome | None
    margins: Mapping[str, float]
    repairs: int = 0


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
        return Verdict(first, None, {})
    if seconds is None:
        reason = "not simulated: its rates are too high, or too different, for a simulation of useful length"
        return Verdict(replace(first, reason=_and(first.reason, reason)), None, {})
    made, margins = first, dict[str, float]()
    for repairs in range(len(STEPS) + 1):
        tried = simulate(workload, made, load.arrivals, seconds, Random(load.seed), load.service_times)  # noqa: S311 a simulation has to be repeatable
        if tried.holds:
            return Verdict(made, tried, margins, repairs)
        if repairs == len(STEPS):
            break
        for name in _late(tried):
            margins[name] = (1 + margins.get(name, 0.0)) * (1 + STEPS[repairs]) - 1
        again = _with_margins(workload, plan, margins, first)
        if not again.feasible:
            break
        made = again
    reached = f"p99 is {tried.end_to_end.p99_ms:.4g} ms" if tried.complete else "requests pile up"
    reason = (
        f"the simulation refutes every plan: {reached} against an objective of {workload.objective_ms:g} ms, even if "
        f"more is planned than needed ({_listed(margins)}); give a longer objective, or arrivals that are more even"
    )
    return Verdict(WorkloadPlan(feasible=False, cost_model=first.cost_model, reason=reason), tried, margins, repairs)


def _late(outcome: Outcome) -> tuple[str, ...]:
    """Modules of which too many requests took longer than their budget; all, if it is none of them alone."""
    late = tuple(each.name for each in outcome.modules if each.latencies.attainment < ATTAINED)
    return late or tuple(each.name for each in outcome.modules)


def length_s(workload: Workload) -> float | None:
    """How many seconds to simulate; None if that would take too many requests to say anything."""
    rates = [module.rate for module in workload.modules]
    objective_s = workload.objective_ms / 1000
    seconds = max(LEAST_S, FEWEST_REQUESTS / min(rates), LEAST_OBJECTIVES * objective_s)
    seconds = min(seconds, MOST_REQUESTS / sum(rates))
    enough = seconds >= LEAST_OBJECTIVES * objective_s and seconds * min(rates) >= 10
    return seconds if enough else None


def _with_margins(workload: Workload, plan: Plan, margins: Mapping[str, float], first: WorkloadPlan) -> WorkloadPlan:
    """A plan of the workload that has load for more than its rates; the bound stays that of the workload."""
    more = tuple(replace(each, rate=each.rate * (1 + margins.get(each.name, 0.0))) for each in workload.modules)
    made = plan(replace(workload, modules=more))
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
            f"planned for more than is needed, as the simulation refutes the cheapest plan: {_listed(margins)}",
        ),
    )


def _listed(margins: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {margin:+.0%}" for name, margin in margins.items())


def _and(reason: str | None, more: str) -> str:
    return more if reason is None else f"{reason}; {more}"
