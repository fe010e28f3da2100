"""A plan: what every module of a service shall run in its instance, and why."""

from __future__ import annotations

from dataclasses import dataclass

from framepilot.contract.desired import Batch


@dataclass(frozen=True, slots=True)
class ModulePlan:
    """What one module shall run, and why."""

    name: str
    batch: Batch
    budget_ms: float
    reason: str


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What one service shall run in its instance, and why.

    `worst_case_ms` and `feasible` are None until every module is measured; `needed_ms` is the shortest objective that
    could be held, where the declared one cannot.
    """

    service: str
    objective_ms: float
    modules: tuple[ModulePlan, ...]
    reason: str
    worst_case_ms: float | None = None
    feasible: bool | None = None
    needed_ms: float | None = None
