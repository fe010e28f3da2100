"""What a simulation found, beside what was predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ATTAINED: Final = 0.99
"""So many requests have to be in time."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of the requests of one module, or of a pipeline from end to end: milliseconds.

    Attributes:
        predicted_ms: the worst case that the plan promises.
        attainment: share of requests within the module's budget, or the objective.
    """

    predicted_ms: float
    p50_ms: float
    p99_ms: float
    largest_ms: float
    attainment: float


@dataclass(frozen=True, slots=True)
class SimulatedModule:
    """One module; `loads` are what its instances ran per second, dummies included, in rank order."""

    name: str
    latencies: Latencies
    dummy_rate: float
    loads: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole run; `complete` is false if the simulation was broken off since requests piled up without end."""

    end_to_end: Latencies
    modules: tuple[SimulatedModule, ...]
    complete: bool

    @property
    def holds(self) -> bool:
        """Whether 99 of 100 requests made the objective."""
        return self.complete and self.end_to_end.attainment >= ATTAINED


def latencies(seconds: Sequence[float], predicted_ms: float, limit_ms: float) -> Latencies:
    """The figures of some latencies; all are infinite if there is none."""
    if not seconds:
        return Latencies(predicted_ms, math.inf, math.inf, math.inf, 0.0)
    ordered = sorted(seconds)
    limit = limit_ms / 1000 * (1 + 1e-9)
    return Latencies(
        predicted_ms=predicted_ms,
        p50_ms=_quantile(ordered, 0.5) * 1000,
        p99_ms=_quantile(ordered, 0.99) * 1000,
        largest_ms=ordered[-1] * 1000,
        attainment=sum(each <= limit for each in ordered) / len(ordered),
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The least value that this share of all does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
