"""What a benchmark says: figures by name, a table for people, and the gates it was held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Gate:
    """A figure that has to be reached: `value` at least, or at most, `bound`."""

    what: str
    value: float
    bound: float
    at_least: bool

    @property
    def passed(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True)
class Result:
    """`figures` is what the last line prints as JSON; `rows` is the table with its head first; `plot` is Markdown."""

    title: str
    method: str
    rows: Sequence[Sequence[str]]
    figures: Mapping[str, float]
    gates: Sequence[Gate]
    plot: str | None = None

    def markdown(self) -> str:
        head, *body = self.rows
        table = [_row(head), _row(["---"] * len(head)), *(_row(row) for row in body)]
        gates = [
            f"- {'met' if gate.passed else '**not met**'}: {gate.what}: {gate.value:.3g} "
            f"({'at least' if gate.at_least else 'at most'} {gate.bound:g})"
            for gate in self.gates
        ]
        plot = [] if self.plot is None else [self.plot, ""]
        return "\n".join([f"## {self.title}", "", self.method, "", *table, "", *plot, *gates, *([""] if gates else [])])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and quartiles, for a cell."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
