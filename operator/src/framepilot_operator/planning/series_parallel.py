"""A graph of modules as a program of two steps: two parts one after the other, two parts side by side.

Modules become edges between two moments, before and after; what stands between an output and an input takes no time.
Two edges with nothing else at the moment between them become one (series), two edges between the same moments become
one (parallel), until one is left. Where a graph is not of that kind a connection is dropped, the one that seems to
matter least, and `exact` is False: what the program then says is a bound (fewer ways must keep the objective).
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
    exact: bool


@dataclass(slots=True)
class _Edge:
    start: int
    end: int
    part: int | None


def program(inputs: Sequence[Sequence[int]], weights: Sequence[float]) -> Program:
    """The program of modules of which each stands after its `inputs`; `weights` say which ways seem to matter."""
    return _Reduction(inputs, weights).run()


class _Reduction:
    def __init__(self, inputs: Sequence[Sequence[int]], weights: Sequence[float]) -> None:
        self.count = len(inputs)
        self.weights = list(weights)
        self.steps: list[Step] = []
        self.exact = True
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

    def run(self) -> Program:
        while len(self.edges) > 1:
            if not (self._parallel() or self._series()):
                self._drop()
        return Program(self.count, tuple(self.steps), self.exact)

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
        weights = self.weights[first], self.weights[second]
        self.weights.append(sum(weights) if kind == "series" else max(weights))
        return self.count + len(self.steps) - 1

    def _drop(self) -> None:
        """Lets the edge with the most time to spare lead to the end, or from the beginning."""
        self.exact = False
        early = self._longest(self.edges, 0)
        late = self._longest([_Edge(edge.end, edge.start, edge.part) for edge in self.edges], 1)
        through = {id(edge): early[edge.start] + self._weight(edge) + late[edge.end] for edge in self.edges}
        for edge in sorted(self.edges, key=lambda edge: through[id(edge)]):
            if edge.end != 1 and sum(other.end == edge.end for other in self.edges) > 1:
                edge.end = 1
                break
            if edge.start != 0 and sum(other.start == edge.start for other in self.edges) > 1:
                edge.start = 0
                break
        self.edges = [edge for edge in self.edges if edge.part is not None or (edge.start, edge.end) != (0, 1)]

    def _weight(self, edge: _Edge) -> float:
        return 0.0 if edge.part is None else self.weights[edge.part]

    def _longest(self, edges: Sequence[_Edge], origin: int) -> dict[int, float]:
        longest = {edge.start: 0.0 for edge in edges} | {edge.end: 0.0 for edge in edges} | {origin: 0.0}
        for _ in longest:
            for edge in edges:
                longest[edge.end] = max(longest[edge.end], longest[edge.start] + self._weight(edge))
        return longest
