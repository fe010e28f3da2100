"""A plan for a workload: the instances of every module in rank order, how late they are, what they cost.

The latency rule is Harpagon's (INFOCOM 2025), as far as it is known: whole batches go to one instance, so an instance
collects a batch from all that is left for it and for those ranked after it. How many arrivals its batch waits for says
its configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from framepilot_operator.planning.workload import Configuration

CostModel = Literal["fractional", "whole"]
COST_MODELS: Final[tuple[CostModel, ...]] = ("fractional", "whole")


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance: its configuration, and how many requests per second it gets, dummies included.

    `host` is set where it is the tenant of an instance that another module pays for: that module's name.
    `shared_ms` is set for every tenant of a shared instance, its host too: how long one round of all of them takes.
    """

    configuration: Configuration
    load: float
    host: str | None = None
    shared_ms: float | None = None

    @property
    def duration_ms(self) -> float:
        """How long its batch takes: with tenants beside it, one round of all."""
        return self.configuration.latency_ms if self.shared_ms is None else self.shared_ms


@dataclass(frozen=True, slots=True)
class ModuleAllocation:
    """A module's instances in rank order, every one but the last saturated; `rate` is what it gets without dummies."""

    name: str
    rate: float
    budget_ms: float
    instances: tuple[Instance, ...]

    @property
    def latency_ms(self) -> float:
        """The worst case of a request at this module."""
        return module_latency_ms(self.instances)

    @property
    def load(self) -> float:
        """All that its instances get, dummies included."""
        return sum(instance.load for instance in self.instances)

    @property
    def dummy_rate(self) -> float:
        """Dummies per second."""
        return max(self.load - self.rate, 0.0)


@dataclass(frozen=True, slots=True)
class NearestFeasible:
    """What would do where a workload cannot be planned, each alone; None where that alone does not help.

    Attributes:
        objective_ms: the shortest objective that can be held.
        rate_factor: the largest share of all rates that can be planned.
        devices: how many there have to be: for that objective in its cheapest plan, else for the rates at least.
    """

    objective_ms: float | None = None
    rate_factor: float | None = None
    devices: int | None = None


@dataclass(frozen=True, slots=True)
class WorkloadPlan:
    """A plan, or why there is none.

    Attributes:
        latency_ms: the longest way through the modules; None if infeasible.
        bound: what no plan can be cheaper than, as far as the solver knows.
        gap: how far the cost is above the bound, as a share of the bound; 0 if it is the proved optimum.
        complete: False if the solver's time ended before its search.
        reason: why it is infeasible, or what should be known of the plan.
    """

    feasible: bool
    cost_model: CostModel
    cost: float | None = None
    latency_ms: float | None = None
    modules: tuple[ModuleAllocation, ...] = ()
    nearest_feasible: NearestFeasible | None = None
    bound: float | None = None
    gap: float | None = None
    complete: bool = True
    reason: str | None = None


def collection_rates(instances: Sequence[Instance]) -> tuple[float, ...]:
    """At what rate each instance collects its batch: its own load and that of all after it, requests per second."""
    rates: list[float] = []
    left = 0.0
    for instance in reversed(instances):
        left += instance.load
        rates.append(left)
    return tuple(reversed(rates))


def instance_latency_ms(instance: Instance, collection_rate: float) -> float:
    """The worst case of a request at one instance: its batch is collected, then it runs."""
    return instance.duration_ms + 1000.0 * instance.configuration.awaited / collection_rate


def module_latency_ms(instances: Sequence[Instance]) -> float:
    """The worst case of a request at a module: that of its slowest instance."""
    rates = collection_rates(instances)
    return max(instance_latency_ms(instance, rate) for instance, rate in zip(instances, rates, strict=True))


def fractional_cost(instances: Iterable[Instance]) -> float:
    """The price of an hour where each instance is paid for as far as it is loaded."""
    return sum(each.configuration.price * each.load / each.configuration.throughput for each in instances)


def whole_cost(instances: Iterable[Instance]) -> float:
    """The price of an hour where every instance is paid for in full, a shared one by its host."""
    return sum(each.configuration.price for each in instances if each.host is None)


def path_latency_ms(inputs: Mapping[str, Sequence[str]], latency_ms: Mapping[str, float]) -> float:
    """The longest way through modules, each of which stands after its inputs in `inputs`."""
    finished: dict[str, float] = {}
    for name, before in inputs.items():
        finished[name] = latency_ms[name] + max((finished[each] for each in before), default=0.0)
    return max(finished.values())
