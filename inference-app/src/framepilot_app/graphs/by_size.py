"""A program on several engines, each for the batch sizes at which it is the fastest."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterable, Mapping

import torch

from framepilot_app.graphs.engine import Compiled, Outputs


def by_size(engines: Mapping[int, Compiled]) -> Compiled:
    """One program of those that run these batch sizes, at least one; sizes in between go with the next larger one."""
    programs = [*engines.values()]
    if all(each is programs[0] for each in programs):
        return programs[0]
    return BySize(engines)


class BySize:
    """Several programs that give the same; a batch runs on that of its size."""

    def __init__(self, engines: Mapping[int, Compiled]) -> None:
        self._sizes = sorted(engines)
        self._programs = [engines[size] for size in self._sizes]
        self._distinct = tuple({id(each): each for each in self._programs}.values())

    @property
    def nbytes(self) -> int:
        """Bytes of parameters of all of them."""
        return sum(each.nbytes for each in self._distinct)

    def held(self) -> Iterable[tuple[object, int]]:
        """These bytes, by what holds them."""
        for each in self._distinct:
            yield from each.held()

    def __call__(self, batch: torch.Tensor) -> Outputs:
        """Run one batch on the engine of its size."""
        return self._of(batch)(batch)

    def steps(self, batch: torch.Tensor) -> Generator[None, None, Outputs]:
        """The same, in that engine's steps."""
        return (yield from self._of(batch).steps(batch))

    def _of(self, batch: torch.Tensor) -> Compiled:
        return self._programs[min(bisect_left(self._sizes, len(batch)), len(self._sizes) - 1)]
