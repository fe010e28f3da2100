"""A workload: modules in a graph, how fast each must run, what each may run on, and how soon an answer is due.

The terms are those of Harpagon (INFOCOM 2025): a *configuration* is a device class with a batch size, and all
configurations of a module are ranked by throughput per price. How equal ones are ordered is ours.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from framepilot.scheduling.headroom import HEADROOM, usable

EQUAL: Final = 1e-9
"""Relative difference below which two figures of a workload count as equal."""

CollectionRule = Literal["all", "others"]
COLLECTION_RULES: Final[tuple[CollectionRule, ...]] = ("all", "others")
"""What a batch of b waits for: b arrivals, which is Harpagon's rule, or those of the b - 1 after its first: ours."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A module on a device class with a batch size: what an hour of it costs, and how long a batch takes.

    Its worst case is that of a request that is the first of its batch: the batch is collected, then it runs. A `stem`
    names what its model has in common with others, of which `memory_mb` includes `stem_mb`.
    """

    device: str
    price: float
    batch: int
    latency_ms: float
    memory_mb: float | None = None
    collection: CollectionRule = "all"
    stem: str | None = None
    stem_mb: float = 0.0

    @property
    def throughput(self) -> float:
        """Requests per second of an instance that is never idle."""
        return 1000.0 * self.batch / self.latency_ms

    @property
    def awaited(self) -> int:
        """How many arrivals its batch waits for."""
        return self.batch if self.collection == "all" else self.batch - 1

    @property
    def least_latency_ms(self) -> float:
        """The worst case where only its own load is left for it: at best it is saturated then."""
        return self.latency_ms * (1 + self.awaited / self.batch)

    def needed_rate(self, within_ms: float) -> float:
        """The least rate at which it must collect for a worst case of `within_ms`, which is above its duration."""
        return 1000.0 * self.awaited / (within_ms - self.latency_ms) if self.awaited else 0.0


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

    @property
    def least_latency_ms(self) -> float:
        """The shortest worst case, which dummies always reach: of all instances, none collects slower than the last."""
        return min(each.least_latency_ms for each in self.configurations)


@dataclass(frozen=True, slots=True)
class Workload:
    """Modules, each after its inputs, with an objective from end to end.

    `memory_mb` is how much an instance of a device class has, for those of which it is known; `headroom` is the share
    of it that the modules which share an instance leave free.
    """

    objective_ms: float
    modules: tuple[WorkloadModule, ...]
    memory_mb: dict[str, float] = field(default_factory=dict)
    headroom: float = HEADROOM

    def usable_mb(self, device: str) -> float:
        """What modules that share an instance may take of its memory."""
        return usable(self.memory_mb.get(device, math.inf), self.headroom)


def memory_together_mb(tenants: Iterable[Configuration]) -> float:
    """What several modules take on one instance: a stem that they have in common is there once."""
    stems: dict[str, float] = {}
    heads_mb = 0.0
    for each in tenants:
        heads_mb += (each.memory_mb or 0.0) - each.stem_mb
        if each.stem is not None:
            stems[each.stem] = each.stem_mb
    return heads_mb + sum(stems.values())


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
