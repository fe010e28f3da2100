"""What a module costs with a budget, by trying every set of saturated instances and every last one: for small cases."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from framepilot_operator.planning.workload import Configuration, WorkloadModule


def module_cost(module: WorkloadModule, budget_ms: float) -> float:
    """The cheapest; infinite where nothing keeps the budget."""
    configurations = module.configurations
    most = module.rate + max(each.throughput for each in configurations)
    costs = [
        counts_cost(module, counts, last, budget_ms)
        for counts in _counts([each.throughput for each in configurations], most)
        for last in range(len(configurations))
        if not any(counts[last + 1 :])
    ]
    return min(costs, default=math.inf)


def _counts(throughputs: Sequence[float], most: float) -> Iterator[tuple[int, ...]]:
    if not throughputs:
        yield ()
        return
    for count in range(int(most / throughputs[0]) + 1):
        for rest in _counts(throughputs[1:], most - count * throughputs[0]):
            yield (count, *rest)


def counts_cost(module: WorkloadModule, counts: Sequence[int], last: int, budget_ms: float) -> float:
    """With the least total load that keeps the budget at every instance."""
    total, before, paid = module.rate, 0.0, 0.0
    for configuration, count in zip(module.configurations, counts, strict=True):
        if count:
            before += count * configuration.throughput
            paid += count * configuration.price
            total = max(total, before - configuration.throughput + _collection_rate(configuration, budget_ms))
    configuration = module.configurations[last]
    total = max(total, before + _collection_rate(configuration, budget_ms))
    load = total - before
    if load > configuration.throughput * (1 + 1e-12):
        return math.inf
    return paid + configuration.price * load / configuration.throughput


def _collection_rate(configuration: Configuration, budget_ms: float) -> float:
    """The least rate at which it must collect its batch, or all of it but its first request."""
    if configuration.latency_ms >= budget_ms:
        return math.inf
    first = 0 if configuration.collection == "all" else 1
    return 1000.0 * (configuration.batch - first) / (budget_ms - configuration.latency_ms)
