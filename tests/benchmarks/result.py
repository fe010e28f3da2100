"""What a benchmark says: figures by name, a table for people, and the gates it was held against."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

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

    @property
    def hard(self) -> bool:
        """It is more than a goal."""
        return not self.what.startswith("goal")


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


def markdown(results: Sequence[Result]) -> str:
    """All of them."""
    return "\n".join(result.markdown() for result in results)


def told(results: Sequence[Result]) -> int:
    """Print the tables, and the figures as one line of JSON; the exit status: 1 if a hard gate is missed."""
    print(markdown(results))
    print(json.dumps({name: round(value, 6) for result in results for name, value in result.figures.items()}))
    return 0 if all(gate.passed for result in results for gate in result.gates if gate.hard) else 1


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and quartiles, for a cell."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def quantile(values: Sequence[float], share: float) -> float:
    """One of the values: that which stands at this share of them in order."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def ratios_row(ratios: Sequence[float], extreme: Callable[[Sequence[float]], float]) -> tuple[str, ...]:
    """Cells: mean, 10 %, median, 90 %, and the least or the most; empty ones if there are no ratios."""
    if not ratios:
        return ("",) * 5
    figures = (mean(ratios), *(quantile(ratios, share) for share in (0.1, 0.5, 0.9)), extreme(ratios))
    return tuple(f"{each:.3f}" for each in figures)
