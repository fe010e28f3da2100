"""Parameters in the forms in which an engine runs them: on a device, in a layout, packed.

Making a form takes time and memory, so it is asked for by what it is, and who has it already gives it
(`models/parameters.py` does, across models). The parameters of one file or mapping, for one program alone, are here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open

from framepilot_app.graphs.engine import EngineError

Making = Generator[None, None, torch.Tensor]
"""Yields after every bounded step, returns the tensor."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Form:
    """One program's hold on a parameter in some form: the tensor lives as long as anyone holds one on it."""

    tensor: torch.Tensor
    nbytes: int
    """As large as it is unpacked: a packed tensor does not say what it takes."""
    shared: object = None
    """What those who hold the same tensor have in common."""


class Parameters(Protocol):
    """What a compilation takes its parameters from; used by the device thread only."""

    def stored(self, name: str) -> torch.Tensor:
        """A parameter as its file has it; not to be kept.

        Raises:
            EngineError: there is none of this name, or it cannot be read.
        """

    def form(self, name: str, form: Hashable, make: Callable[[], Making]) -> Generator[None, None, Form]:
        """A parameter in this form, which says all that `make` depends on.

        Raises:
            EngineError: the file is not what it was.
        """


class OwnParameters:
    """The parameters of one program, from a file or as tensors. A context, which must be open while they are read."""

    def __init__(self, weights: Path | Mapping[str, torch.Tensor]) -> None:
        self._weights = weights
        self._opened = ExitStack()
        self._read: Callable[[str], torch.Tensor] | None = None
        self._forms: dict[tuple[str, Hashable], Form] = {}

    def __enter__(self) -> OwnParameters:
        """Open the file.

        Raises:
            EngineError: it cannot be read.
        """
        if isinstance(self._weights, Mapping):
            self._read = self._weights.__getitem__
            return self
        try:
            file = self._opened.enter_context(safe_open(self._weights, framework="pt", device="cpu"))
        except (OSError, SafetensorError) as error:
            raise EngineError(f"{self._weights}: cannot be read: {error}; fetch or pack the model again") from error
        self._read = file.get_tensor
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._opened.close()

    def stored(self, name: str) -> torch.Tensor:
        """A parameter as the file has it."""
        if self._read is None:
            raise EngineError(f"weights: '{name}' is read before the file is open")
        try:
            return self._read(name).detach()
        except (KeyError, SafetensorError) as error:
            raise EngineError(f"weights: there is no parameter '{name}'; pack the model again") from error

    def form(self, name: str, form: Hashable, make: Callable[[], Making]) -> Generator[None, None, Form]:
        """Made once, however many nodes take it."""
        if (name, form) not in self._forms:
            tensor = yield from make()
            self._forms[name, form] = Form(tensor, self.stored(name).nbytes)
        return self._forms[name, form]
