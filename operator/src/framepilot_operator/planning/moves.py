"""What runs of a workload, and what a new plan starts and stops of it, counted in whole instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from framepilot_operator.planning.allocation import WorkloadPlan
from framepilot_operator.planning.workload import WorkloadModule


class Place(NamedTuple):
    """Where an instance of a module runs: on which device class, with which batch size.

    `host` is set where it is the tenant of another module's instance: that module's name.
    """

    module: str
    device: str
    batch: int
    host: str | None = None


Running = Counter[Place]
"""How many instances there are in each place."""


class Moves(NamedTuple):
    """Instances that a new plan starts, and those that it stops."""

    started: int
    stopped: int


def instances_of(plan: WorkloadPlan) -> Running:
    """The instances of a plan."""
    return Counter(
        Place(module.name, each.configuration.device, each.configuration.batch, each.host)
        for module in plan.modules
        for each in module.instances
    )


def moved(before: Running, plan: WorkloadPlan) -> Moves:
    """What a plan starts and stops of what ran before; of a plan that there is not, nothing."""
    if not plan.feasible:
        return Moves(0, 0)
    after = instances_of(plan)
    return Moves((after - before).total(), (before - after).total())


def by_rank(running: Running, module: WorkloadModule) -> dict[int, int]:
    """How many instances of each configuration of a module run, by its rank; what it has no more is left out."""
    ranks = {(each.device, each.batch): rank for rank, each in enumerate(module.configurations)}
    counts: dict[int, int] = {}
    for place, count in running.items():
        rank = ranks.get((place.device, place.batch)) if place.module == module.name else None
        if rank is not None and count > 0:
            counts[rank] = counts.get(rank, 0) + count
    return dict(sorted(counts.items()))


def shape_moves(before: Mapping[int, int], after: Mapping[int, int]) -> int:
    """How many instances are started and stopped between two counts by rank."""
    return sum(abs(after.get(rank, 0) - before.get(rank, 0)) for rank in before.keys() | after.keys())
