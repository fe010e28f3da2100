"""How much of an objective batches may take: what is done before and after them needs the rest. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from framepilot.contract.observed import ObservedModule
from framepilot_operator.planning.budgets import Node

USABLE: Final = 0.8
"""The share where it is not known what else is done, and in any case."""
MOST_USABLE: Final = 0.9
"""The share where nothing else takes time: the rest is for what a bound overlooks."""
ENOUGH: Final = 100
"""Items of each module from which on it is known."""
TAIL: Final = 2.0
"""How many times the mean is allowed for."""


def usable(objective_ms: float, nodes: Sequence[Node], running: Mapping[str, ObservedModule]) -> float:
    """The share of an objective, from `USABLE` to `MOST_USABLE`; `running` are the modules as their instance counts.

    What is done before and after the batches of the longest way, pre- and post-processing, is taken off.
    """
    if not nodes or not all(node.name in running and running[node.name].items >= ENOUGH for node in nodes):
        return USABLE
    parents = {node.name: node.parent for node in nodes}

    def spent_ms(name: str | None) -> float:
        if name not in parents:
            return 0.0
        latency = running[name].latency_ms
        return latency.pre + latency.post + spent_ms(parents[name])

    share = MOST_USABLE - TAIL * max(map(spent_ms, parents)) / objective_ms
    return min(max(share, USABLE), MOST_USABLE)
