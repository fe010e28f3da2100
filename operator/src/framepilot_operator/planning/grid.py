"""What a module costs with budgets on a grid, and which plan that is: one that is known, or one that is to be made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from framepilot_operator.planning.greedy import Floats, Numbers
from framepilot_operator.planning.pieces import CLOSE, Piece

CELLS: Final = 250
"""Of the whole objective in a coarse grid, and of the budgets around a module's in a fine one."""
AROUND: Final = 0.04
"""How far around a budget a fine grid reaches, as a share of the objective."""


class Plans(Protocol):
    """What is known of a module's plans."""

    @property
    def pieces(self) -> Sequence[Piece]:
        """Those that were found."""

    def costs(self, budgets_ms: Floats) -> tuple[Floats, Numbers]:
        """What plans that can be made at any time cost with each budget, and of which kind the cheapest is."""

    def cheapest(self, budget_ms: float, kind: int) -> Piece | None:
        """The cheapest there is with a budget, after that of this kind was made."""


class Table(NamedTuple):
    """The cost with `first` cells, and with each number above; of which known piece, or -1 less the kind of a plan that
    is to be made."""

    first: int
    costs: Floats
    which: Numbers


def falling(costs: Floats) -> tuple[Floats, Numbers]:
    """The least costs with at most each number of cells, and at which positions they are."""
    least = np.minimum.accumulate(costs)
    return least, np.maximum.accumulate(np.where(costs <= least, np.arange(len(least)), 0))


class Grid:
    """Budgets in cells of `cell_ms`. A piece counts from the number of cells that is nearest to where it begins."""

    def __init__(
        self, modules: Sequence[Plans], known: Sequence[Sequence[Piece]], objective_ms: float, *, fine: bool
    ) -> None:
        """Make tables of modules; `known` are the pieces of each that may be chosen."""
        self.cell_ms = objective_ms / CELLS * (2 * AROUND if fine else 1.0)
        self.whole = round(objective_ms / self.cell_ms)
        """Cells of the objective."""
        self._modules, self._known = modules, known

    def table(self, index: int, first: int, last: int) -> Table:
        """What a module costs at least with `first` to `last` cells."""
        budgets = np.arange(first, last + 1, dtype=np.float64) * self.cell_ms
        costs, kinds = self._modules[index].costs(budgets)
        which = -1 - kinds
        known = self._known[index]
        if known:
            low, high, base, rise, pole = np.array([piece[:5] for piece in known]).T[:, :, np.newaxis]
            # A point has no rise, and its pole is 0.
            found = base + rise / (np.minimum(np.maximum(budgets, low), high) - pole)
            found[low > budgets + self.cell_ms / 2] = np.inf
            best = found.argmin(axis=0)
            cheapest = found[best, np.arange(len(budgets))]
            better = cheapest <= costs * (1 + CLOSE)
            costs, which = np.where(better, cheapest, costs), np.where(better, best, which)
        return Table(first, costs, which)

    def piece(self, index: int, which: int, cells: int) -> Piece | None:
        """The piece that a table means; None if the budget is too short after all."""
        return (
            self._known[index][which] if which >= 0 else self._modules[index].cheapest(cells * self.cell_ms, -1 - which)
        )
