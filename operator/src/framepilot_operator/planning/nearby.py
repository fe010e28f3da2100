"""Shapes of a module's plan that are few moves away from what runs.

What runs is kept, or kept without its last instance, or without all that are not needed any more; and then the number
of instances of one configuration is made just enough for the rate, or one more, which is faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from framepilot_operator.planning.arcs import Shape
from framepilot_operator.planning.pieces import CLOSE
from framepilot_operator.planning.workload import WorkloadModule


def nearby(module: WorkloadModule, running: Mapping[int, int]) -> list[Shape]:
    """The shapes; `running` is how many instances of each configuration run, by its rank."""
    found: dict[Shape, None] = {}
    for start in (running, _without_last(running), _needed(module, running)):
        for counts in _adjusted(module, start):
            if any(counts.values()):
                found[_shape(counts)] = None
    return list(found)


def counts_of(shape: Shape) -> dict[int, int]:
    """How many instances of each configuration a shape has, by its rank."""
    counts = dict(shape.saturated)
    counts[shape.last] = counts.get(shape.last, 0) + 1
    return counts


def _adjusted(module: WorkloadModule, start: Mapping[int, int]) -> Iterator[Mapping[int, int]]:
    yield start
    throughputs = [each.throughput for each in module.configurations]
    capacity = sum(throughputs[rank] * count for rank, count in start.items())
    for rank, throughput in enumerate(throughputs):
        left = module.rate - capacity + throughput * start.get(rank, 0)
        enough = max(math.ceil(left / throughput * (1 - CLOSE)), 0)
        yield {**start, rank: enough}
        yield {**start, rank: enough + 1}


def _without_last(running: Mapping[int, int]) -> Mapping[int, int]:
    if not running:
        return running
    last = max(running)
    return {**running, last: running[last] - 1}


def _needed(module: WorkloadModule, running: Mapping[int, int]) -> Mapping[int, int]:
    """In rank order, as many as carry the rate."""
    left, kept = module.rate, dict[int, int]()
    for rank in sorted(running):
        throughput = module.configurations[rank].throughput
        kept[rank] = min(running[rank], max(math.ceil(left / throughput * (1 - CLOSE)), 0))
        left -= kept[rank] * throughput
    return kept


def _shape(counts: Mapping[int, int]) -> Shape:
    ranks = sorted(rank for rank, count in counts.items() if count)
    last = ranks[-1]
    saturated = [(rank, counts[rank] - (rank == last)) for rank in ranks]
    return Shape(tuple(each for each in saturated if each[1]), last)
