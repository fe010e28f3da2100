"""The seam between a program and what runs it: a `Compiled` callable, one file for each engine that makes one.

The torch engine takes the program itself (`compile(program, weights, device)`), the others a file with a form of it
(`graphs/file_engine.py`). Compiling is a generator: each `next` does one small bounded step, so that the
device thread can load a new model in the gaps between batches. What cannot be cut into steps runs on a thread beside
it, and only if it lets go of the interpreter meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Protocol

import torch

from framepilot_app.graphs.program import ImageInput

Outputs = tuple[torch.Tensor, ...]
Run = Callable[[Sequence[torch.Tensor]], Outputs]
"""An engine's own call, with what a model or a stage takes, in order and in any layout; what it gives is contiguous."""


class EngineError(Exception):
    """A program that cannot be compiled or run: which node, what happened."""


class Compiled(Protocol):
    """A program on a device. Called by one thread at a time, in the end by the device thread only."""

    @property
    def nbytes(self) -> int:
        """Bytes of parameters it holds on the device."""

    def held(self) -> Iterable[tuple[object, int]]:
        """These bytes, by what holds them: the same object in two programs is in memory once."""

    def __call__(self, batch: torch.Tensor, /) -> Outputs:
        """Run one batch: N x C x H x W, float32, any N >= 1, any memory format; outputs have N first."""

    def steps(self, batch: torch.Tensor, /) -> Generator[None, None, Outputs]:
        """The same, node by node: yields between nodes, so that a warm-up can be spread over idle gaps."""


Compilation = Generator[None, None, Compiled]
"""Yields after every bounded step, returns the compiled program; closing it early gives everything back."""


class CompiledStage(Protocol):
    """A stage on a device. Values are given and come in the order of its inputs and outputs, with the batch first."""

    @property
    def nbytes(self) -> int:
        """Bytes of parameters it holds on the device."""

    def held(self) -> Iterable[tuple[object, int]]:
        """These bytes, by what holds them, as of a `Compiled`."""

    def __call__(self, *inputs: torch.Tensor) -> Outputs:
        """Run it once.

        Raises:
            EngineError: it fails on the inputs.
        """

    def steps(self, *inputs: torch.Tensor) -> Generator[None, None, Outputs]:
        """The same in small steps, as far as the engine allows."""


class OwnCopy:
    """What an engine holds that has a copy of all parameters to itself."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes

    @property
    def nbytes(self) -> int:
        """Bytes of parameters, as large as they are unpacked."""
        return self._nbytes

    def held(self) -> Iterable[tuple[object, int]]:
        """All in one; an engine of this kind shares nothing."""
        return ((self, self._nbytes),)


class WholeBatches(OwnCopy):
    """A program on an engine that takes a batch on the CPU as one call, in any memory format."""

    def __init__(self, image: ImageInput, nbytes: int, run: Callable[[torch.Tensor], Outputs]) -> None:
        super().__init__(nbytes)
        self._image = image
        self._run = run

    def __call__(self, batch: torch.Tensor) -> Outputs:
        """Run one batch.

        Raises:
            EngineError: the batch has another shape, or the engine fails on it.
        """
        check_batch(self._image, batch)
        try:
            return self._run(batch)
        except Exception as error:  # engines raise what they like
            raise EngineError(f"{self._image.name}: a batch cannot be run: {first_line(error)}") from error

    def steps(self, batch: torch.Tensor) -> Generator[None, None, Outputs]:
        """The same; the batch is one step."""
        yield
        return self(batch)


def check_batch(image: ImageInput, batch: torch.Tensor) -> None:
    """Refuse what a program with this input does not take.

    Raises:
        EngineError: another shape or type.
    """
    shape = (image.channels, image.height, image.width)
    if batch.shape[1:] != shape or batch.dim() != 4 or batch.shape[0] < 1 or batch.dtype != torch.float32:
        wanted = " x ".join(map(str, shape))
        raise EngineError(
            f"{image.name}: a batch of {tuple(batch.shape)}, {batch.dtype}; the program takes N x {wanted}, float32"
        )


def first_line(error: BaseException) -> str:
    """What an error says, without what follows it."""
    return (str(error) or type(error).__name__).splitlines()[0]
