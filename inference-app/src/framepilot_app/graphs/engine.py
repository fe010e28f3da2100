"""The seam between a program and what runs it: `compile(program, weights, device)` gives a `Compiled` callable.

Compiling is a generator: each `next` does one small bounded step, so that the device thread can load a new model in the
gaps between batches. One file for each engine; this one only names the types.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

import torch

Outputs = tuple[torch.Tensor, ...]


class EngineError(Exception):
    """A program that cannot be compiled or run: which node, what happened."""


class Compiled(Protocol):
    """A program on a device. Called by the device thread only."""

    @property
    def nbytes(self) -> int:
        """Bytes of parameters it holds on the device."""

    def __call__(self, batch: torch.Tensor) -> Outputs:
        """Run one batch: N x C x H x W, float32, any N >= 1, any memory format; outputs have N first."""

    def steps(self, batch: torch.Tensor) -> Generator[None, None, Outputs]:
        """The same, node by node: yields between nodes, so that a warm-up can be spread over idle gaps."""


Compilation = Generator[None, None, Compiled]
"""Yields after every bounded step, returns the compiled program; closing it early gives everything back."""
