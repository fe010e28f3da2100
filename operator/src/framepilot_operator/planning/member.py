"""One service as the planner of one device sees it: its modules, between what their sizes may be, and what it was told.

It holds what is asked of a plan, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from framepilot.contract.desired import Batch, Pipeline
from framepilot.contract.observed import ObservedModule
from framepilot.resources.service import InferenceService
from framepilot.scheduling.latency import batch_sizes
from framepilot_operator.planning.budgets import Node, paths
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.planning.usable import USABLE, usable

KEPT: Final = 1.05
"""What runs is kept if it takes up to so many times what a new plan may take: noise must move nothing."""


@dataclass(frozen=True, slots=True)
class MemberModule:
    """What the planner knows of a module: where it stands, between what its size may be, how long it takes."""

    node: Node
    smallest: int
    largest: int
    limit: int
    profile: ModuleProfile | None

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return self.smallest == self.largest

    def sizes(self, profile: ModuleProfile) -> tuple[int, ...]:
        """Sizes to choose from: nothing that was not measured, except for the smallest that is allowed."""
        allowed = (size for size in batch_sizes(self.largest) if self.smallest < size <= profile.largest)
        return (self.smallest, *allowed)


@dataclass(frozen=True, slots=True)
class Member:
    """One of the services on the device; `previous` is what its instance was told of it last.

    `elastic`: some of its streams give frames as fast as they are served. `usable` is the share of the objective that
    batches may take.
    """

    key: str
    objective_ms: float
    modules: tuple[MemberModule, ...]
    previous: Pipeline | None
    elastic: bool
    usable: float = USABLE

    @classmethod
    def of(
        cls,
        service: InferenceService,
        profiles: Mapping[tuple[str, str], ModuleProfile],
        previous: Pipeline | None,
        running: Mapping[str, ObservedModule],
    ) -> Member:
        """A service with what is known of it; `running` are its modules as they run, by name."""
        modules = []
        for module in service.spec.modules:
            batching = service.spec.batching_of(module)
            smallest, largest = batching.bounds
            node = Node(module.name, module.inputs[0] if module.inputs else None)
            profile = profiles.get((service.key, module.name))
            modules.append(MemberModule(node, smallest, largest, max(largest, batching.max), profile))
        objective_ms = service.spec.objective.latency_ms
        share = usable(objective_ms, [each.node for each in modules], running)
        return cls(service.key, objective_ms, tuple(modules), previous, service.spec.elastic, share)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Its modules as a graph."""
        return tuple(module.node for module in self.modules)

    @property
    def depth(self) -> int:
        """How many modules stand on the longest way."""
        return max(len(path) for path in paths(self.nodes))

    @property
    def usable_ms(self) -> float:
        """What batches may take of the objective."""
        return self.usable * self.objective_ms

    @property
    def longest_cycle_ms(self) -> float:
        """The longest cycle with which the objective holds."""
        return self.usable_ms / self.depth

    @property
    def told(self) -> dict[str, Batch]:
        """What its modules were told last."""
        return {} if self.previous is None else {module.name: module.batch for module in self.previous.modules}

    @property
    def told_waits_ms(self) -> dict[str, float]:
        """How long its modules were told to wait for a batch to fill, milliseconds; 0 for one that is new."""
        told = self.told
        return {node.name: told[node.name].max_wait_ms if node.name in told else 0.0 for node in self.nodes}

    @property
    def measured(self) -> bool:
        """Whether there is a profile of each of its modules."""
        return all(module.profile is not None for module in self.modules)

    @property
    def kept_sizes(self) -> list[int]:
        """The size that each module has, if it still may have it, else its smallest."""
        told = self.told
        sizes = []
        for module in self.modules:
            before = told.get(module.node.name)
            admissible = before is not None and module.smallest <= before.size <= module.largest
            sizes.append(before.size if before is not None and admissible else module.smallest)
        return sizes

    @property
    def kept_budgets_ms(self) -> dict[str, float] | None:
        """The budgets that are in force, if they are of this pipeline and this objective."""
        previous = self.previous
        if previous is None or previous.objective_ms != self.objective_ms:
            return None
        before = [(module.name, module.inputs) for module in previous.modules]
        now = [(node.name, () if node.parent is None else (node.parent,)) for node in self.nodes]
        return {module.name: module.budget_ms for module in previous.modules} if before == now else None


def worst_case_ms(nodes: tuple[Node, ...], waits_ms: Mapping[str, float], cycle_ms: float) -> float:
    """The longest that a frame can take through the modules, milliseconds."""
    return max(sum(waits_ms[name] + cycle_ms for name in path) for path in paths(nodes))
