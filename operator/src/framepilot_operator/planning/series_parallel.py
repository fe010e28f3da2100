"""A graph of modules as a program of two steps: two parts one after the other, two parts side by side.

Modules become edges between two moments, before and after; what stands between an output and an input takes no time.
Two edges with nothing else at the moment between them become one (series), two edges between the same moments become
one (parallel), until one is left. Where a graph is not of that kind there is no program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["series", "parallel"]


@dataclass(frozen=True, slots=True)
class Step:
    """Part `first` and part `second` make a new part. Modules are parts 0 to n - 1, step i makes part n + i."""

    kind: Kind
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Program:
    """Steps in order; the last part made is the whole."""

    modules: int
    steps: tuple[Step, ...]


@dataclass(slots=True)
class _Edge:
    start: int
    end: int
    part: int | None


def program(inputs: Sequence[Sequence[int]]) -> Program | None:
    """The program of modules of which each stands after its `inputs`; None where series and parallel do not make it."""
    return _Reduction(inputs).run()


class _Reduction:
    def __init__(self, inputs: Sequence[Sequence[int]]) -> None:
        self.count = len(inputs)
        self.steps: list[Step] = []
        self.edges = self._edges([frozenset(each) for each in inputs])

    def _edges(self, inputs: Sequence[frozenset[int]]) -> list[_Edge]:
        """Moment 0 is the beginning and 1 the end; modules with the same inputs begin at one moment."""
        before: list[set[int]] = []
        for each in inputs:
            before.append(set(each).union(*(before[other] for other in each)))
        # What is an input of an input already adds nothing.
        direct = [frozenset(each.difference(*(before[other] for other in each))) for each in inputs]
        begins: dict[frozenset[int], int] = {frozenset(): 0}
        for each in direct:
            begins.setdefault(each, 2 + len(begins))
        after: list[frozenset[int]] = [
            frozenset(begins[each] for each in direct if index in each) for index in range(self.count)
        ]
        fresh = 3 + len(begins)
        ends: dict[frozenset[int], int] = {frozenset(): 1}
        for each in after:
            ends.setdefault(each, fresh + len(ends))
        edges = [_Edge(begins[direct[index]], ends[after[index]], index) for index in range(self.count)]
        return edges + [_Edge(end, begin, None) for each, end in ends.items() for begin in sorted(each)]

    def run(self) -> Program | None:
        while len(self.edges) > 1:
            if not (self._parallel() or self._series()):
                return None
        return Program(self.count, tuple(self.steps))

    def _parallel(self) -> bool:
        seen: dict[tuple[int, int], _Edge] = {}
        kept: list[_Edge] = []
        for edge in self.edges:
            other = seen.get((edge.start, edge.end))
            if other is None:
                seen[edge.start, edge.end] = edge
                kept.append(edge)
            else:
                other.part = self._joined("parallel", other.part, edge.part)
        changed = len(kept) < len(self.edges)
        self.edges = kept
        return changed

    def _series(self) -> bool:
        into: dict[int, list[_Edge]] = {}
        out: dict[int, list[_Edge]] = {}
        for edge in self.edges:
            into.setdefault(edge.end, []).append(edge)
            out.setdefault(edge.start, []).append(edge)
        for moment, entering in into.items():
            leaving = out.get(moment, [])
            if moment > 1 and len(entering) == len(leaving) == 1:
                first, second = entering[0], leaving[0]
                part = self._joined("series", first.part, second.part)
                self.edges = [edge for edge in self.edges if edge is not first and edge is not second]
                self.edges.append(_Edge(first.start, second.end, part))
                return True
        return False

    def _joined(self, kind: Kind, first: int | None, second: int | None) -> int | None:
        if first is None or second is None:
            return second if first is None else first
        self.steps.append(Step(kind, first, second))
        return self.count + len(self.steps) - 1
