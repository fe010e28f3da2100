"""Values of a batch that mixes items of several modules: which row is which picture's. Used by the device thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from framepilot_app.modules.preprocess import Prepared

Rows = tuple[Prepared, ...]
"""Pictures in the order in which a tensor has them; each is there once."""


def distinct(pictures: Iterable[Prepared]) -> Rows:
    """Each picture once, in order."""
    return tuple(dict.fromkeys(pictures))


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor with the batch first, and whose row each is."""

    tensor: torch.Tensor
    rows: Rows
    _cut: dict[Rows, torch.Tensor] = field(default_factory=dict, compare=False)
    """What was asked for of it: a hundred heads ask for the same."""

    def has(self, rows: Iterable[Prepared]) -> bool:
        """Whether it has them all."""
        return set(self.rows).issuperset(rows)

    def of(self, pictures: Sequence[Prepared]) -> torch.Tensor:
        """The rows of these pictures, which may repeat themselves; a view if they lie side by side."""
        rows = tuple(pictures)
        if self.rows == rows:
            return self.tensor
        if rows not in self._cut:
            self._cut[rows] = self._rows(rows)
        return self._cut[rows]

    def _rows(self, pictures: Rows) -> torch.Tensor:
        places = {picture: place for place, picture in enumerate(self.rows)}
        wanted = [places[picture] for picture in pictures]
        first, last = wanted[0], wanted[-1]
        if wanted == list(range(first, last + 1)):
            return self.tensor[first : last + 1]
        return as_laid_out(self.tensor[wanted], self.tensor)


def joined(pieces: Sequence[torch.Tensor]) -> torch.Tensor:
    """Rows one after the other, laid out as they are."""
    return as_laid_out(torch.cat([*pieces]), pieces[0])


def array_of(tensor: torch.Tensor) -> NDArray[np.float32]:
    """Its values in memory; torch lets go of Python's lock in `cpu()`, even if they are there already."""
    return tensor.numpy() if tensor.is_cpu else tensor.cpu().numpy()


def as_laid_out(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """In the memory format of another one: engines compute by it."""
    if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor
