"""A plan: what every module of a service shall run in its instance, and why."""

from __future__ import annotations

from dataclasses import dataclass

from framepilot.contract.desired import Batch


@dataclass(frozen=True, slots=True)
class ModulePlan:
    """What one module shall run, and why.

    `utilization` is the share of the device's time that it takes at its rate; None where its rate is not known.
    `tuning` is what was found of it while it runs; empty: that it is as measured at loading; None: not known yet.
    """

    name: str
    batch: Batch
    budget_ms: float
    reason: str
    utilization: float | None = None
    tuning: str | None = None


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What one service shall run in its instance, and why.

    `worst_case_ms` and `feasible` are None until every module is measured; `needed_ms` is the shortest objective that
    could be held, where the declared one cannot. `cycle_ms` is one batch of every module on the device, and
    `utilization` that of the device, by all services on it. `cost_per_hour` is the service's share of what the device
    costs; None where its price, or how much who uses it, is not known.
    """

    service: str
    objective_ms: float
    modules: tuple[ModulePlan, ...]
    reason: str
    worst_case_ms: float | None = None
    feasible: bool | None = None
    needed_ms: float | None = None
    cycle_ms: float | None = None
    utilization: float | None = None
    cost_per_hour: float | None = None

    def latency_ms(self, module: ModulePlan) -> float | None:
        """The longest that an item can take at a module: its wait and one cycle."""
        return None if self.cycle_ms is None else module.batch.max_wait_ms + self.cycle_ms
