"""A workload: modules in a graph, how fast each must run, what each may run on, and how soon an answer is due.

The terms are those of Harpagon (INFOCOM 2025): a *configuration* is a device class with a batch size, and all
configurations of a module are ranked by throughput per price. How equal ones are ordered is ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

EQUAL: Final = 1e-9
"""Relative difference below which two figures of a workload count as equal."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A module on a device class with a batch size: what an hour of it costs, and how long a batch takes."""

    device: str
    price: float
    batch: int
    latency_ms: float
    memory_mb: float | None = None

    @property
    def throughput(self) -> float:
        """Requests per second of an instance that is never idle."""
        return 1000.0 * self.batch / self.latency_ms


@dataclass(frozen=True, slots=True)
class WorkloadModule:
    """A module: how many requests per second reach it, and its configurations, best first (`ranked`).

    `items_per_input` is how many requests it gets for each one of its inputs; of a module without inputs it says
    nothing.
    """

    name: str
    inputs: tuple[str, ...]
    rate: float
    configurations: tuple[Configuration, ...]
    items_per_input: float = 1.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Modules, each after its inputs, with an objective from end to end.

    `memory_mb` is how much an instance of a device class has, for those of which it is known.
    """

    objective_ms: float
    modules: tuple[WorkloadModule, ...]
    memory_mb: dict[str, float] = field(default_factory=dict)


def without(workload: Workload, devices: Collection[str]) -> Workload:
    """A workload that has no configuration on these device classes; a module may then have none at all."""
    modules = tuple(
        replace(module, configurations=tuple(each for each in module.configurations if each.device not in devices))
        for module in workload.modules
    )
    return replace(workload, modules=modules)


def ranked(configurations: Iterable[Configuration]) -> tuple[Configuration, ...]:
    """Configurations by throughput per price, best first; equal ones by longer duration, larger batch, device."""
    rest = sorted(configurations, key=lambda each: -each.throughput / each.price)
    ordered: list[Configuration] = []
    while rest:
        least = rest[0].throughput / rest[0].price * (1 - EQUAL)
        equal = [each for each in rest if each.throughput / each.price >= least]
        ordered += sorted(equal, key=lambda each: (-each.latency_ms, -each.batch, each.device))
        rest = rest[len(equal) :]
    return tuple(ordered)
