"""A pipeline's graph: which module's detections become whose items.

It never changes: a frame is bound to the graph that was there when it was admitted and finishes in it, while a change
of the pipeline makes a new graph for the frames that follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from framepilot.contract.desired import DesiredModule
from framepilot.scheduling.admission import Cost
from framepilot_app.modules.module import Module


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One module's place: `min_score` says which detections of its input become its items."""

    module: Module
    min_score: float
    children: tuple[Node, ...]

    def tail_s(self) -> float:
        """The least time, in seconds, that the modules after this one need for a frame."""
        return max((child.module.alone_s() + child.tail_s() for child in self.children), default=0.0)

    def path_s(self) -> float:
        """The time, in seconds, that this module and those after it usually need for a frame."""
        return self.module.usual_batch_s() + max((child.path_s() for child in self.children), default=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Roots take the frame; `nodes` has all in the declared order, inputs first."""

    roots: tuple[Node, ...]
    nodes: tuple[Node, ...]

    def inputs(self) -> dict[str, tuple[str, ...]]:
        """For each module that takes another one's detections: which one's."""
        return {child.module.name: (node.module.name,) for node in self.nodes for child in node.children}

    def cost(self) -> Cost:
        """What a frame takes, by what was measured lately."""
        return Cost(
            work=sum(node.module.frame_s() for node in self.nodes), alone=max(root.path_s() for root in self.roots)
        )


def build(declared: Sequence[DesiredModule], modules: Mapping[str, Module]) -> Graph:
    """The graph of a declared list of modules, in which inputs come before what they feed."""
    nodes: dict[str, Node] = {}
    for entry in reversed(declared):
        children = tuple(nodes[child.name] for child in declared if entry.name in child.inputs)
        nodes[entry.name] = Node(modules[entry.name], entry.where.min_score, children)
    return Graph(
        roots=tuple(nodes[entry.name] for entry in declared if not entry.inputs),
        nodes=tuple(nodes[entry.name] for entry in declared),
    )
