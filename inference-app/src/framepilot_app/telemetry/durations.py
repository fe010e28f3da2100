"""Histograms that cost whoever records one append: no lock, no search for the bucket.

The threads that record are those that serve frames, and they would wait for each other at a lock that all of them take
for every duration, as the client's own histogram has it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from framepilot.contract.metrics import Metric


@dataclass(slots=True)
class _Series:
    """One combination of labels; `new` waits to be counted."""

    by_bucket: list[int]
    new: deque[float] = field(default_factory=deque)
    total: float = 0.0


class Durations(Collector):
    """One histogram. Thread-safe."""

    def __init__(self, metric: Metric, bounds: Sequence[float]) -> None:
        """`bounds` are the upper ends of the buckets, ascending, without the infinite one."""
        self._metric = metric
        self._bounds = tuple(bounds)
        self._names = [*(str(float(bound)) for bound in bounds), "+Inf"]
        self._series: dict[tuple[str, ...], _Series] = {}
        self._lock = threading.Lock()

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        """Record one; it is counted at the next `fold`."""
        series = self._series.get(labels)
        if series is None:
            series = self._series.setdefault(labels, _Series([0] * len(self._names)))
        series.new.append(value)

    def fold(self) -> None:
        """Count what was recorded: often enough that little has to be kept until then."""
        with self._lock:
            for series in [*self._series.values()]:
                values = [series.new.popleft() for _ in range(len(series.new))]
                for value in values:
                    series.by_bucket[bisect_left(self._bounds, value)] += 1
                series.total += sum(values)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """One scrape."""
        self.fold()
        family = HistogramMetricFamily(self._metric.name, self._metric.meaning, labels=self._metric.labels)
        with self._lock:
            for labels, series in [*self._series.items()]:
                cumulative = accumulate(series.by_bucket)
                family.add_metric(labels, [*zip(self._names, cumulative, strict=True)], series.total)
        yield family
