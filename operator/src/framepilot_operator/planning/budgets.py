"""Splits a latency objective over a pipeline, so that the budgets along every way through it add up to at most it.

Each module gets its share of the heaviest way that leads through it. A way is never heavier than the heaviest way
through any of its modules, so its shares add up to at most one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A module of a pipeline: its name, and the one module that it takes its items from, None for the frame."""

    name: str
    parent: str | None


def paths(nodes: Sequence[Node]) -> tuple[tuple[str, ...], ...]:
    """Every way from a module without input to a module that feeds no other; inputs come before what they feed."""
    way: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        way[node.name] = (*(way[node.parent] if node.parent is not None else ()), node.name)
    parents = {node.parent for node in nodes}
    return tuple(way[node.name] for node in nodes if node.name not in parents)


def split(nodes: Sequence[Node], weights: Mapping[str, float], objective_ms: float) -> dict[str, float]:
    """The budget of each module in milliseconds; `weights` are above 0."""
    heaviest: dict[str, float] = {}
    for path in paths(nodes):
        weight = sum(weights[name] for name in path)
        for name in path:
            heaviest[name] = max(heaviest.get(name, 0), weight)
    return {node.name: objective_ms * weights[node.name] / heaviest[node.name] for node in nodes}
