"""What writing a node as ONNX works with: its arguments, the model that is being written, and why it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from framepilot_app.graphs.program import Argument, Node

Array = NDArray[np.generic]


class NotInOnnx(Exception):  # noqa: N818 it is a finding, not a failure
    """A node that cannot be written, and why."""


class Graph(Protocol):
    """What is being written."""

    def value(self, argument: Argument) -> str:
        """The name of the tensor that an argument stands for; a number becomes a constant."""

    def constant(self, array: Array) -> str:
        """The name of a constant."""

    def stored(self, argument: Argument) -> Array:
        """A parameter itself."""

    def add(self, op: str, inputs: list[str], **attributes: object) -> str:
        """Add an operator, give the name of its output."""


class Arguments:
    """A node's arguments by position and name, as ATen's schema allows both."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def get(self, position: int, name: str, default: Argument = None) -> Argument:
        """One of them."""
        if position < len(self.node.args):
            return self.node.args[position]
        return self.node.kwargs.get(name, default)

    def integer(self, position: int, name: str, default: int | None = None) -> int:
        """A whole number."""
        value = self.get(position, name, default)
        if not isinstance(value, int):
            raise NotInOnnx(f"{name} is {value!r}")
        return int(value)

    def number(self, position: int, name: str, default: float) -> float:
        """A number."""
        value = self.get(position, name, default)
        if not isinstance(value, int | float):
            raise NotInOnnx(f"{name} is {value!r}")
        return float(value)

    def integers(self, position: int, name: str, default: tuple[int, ...] = ()) -> list[int]:
        """A list of whole numbers."""
        value = self.get(position, name, default)
        if not isinstance(value, tuple):
            raise NotInOnnx(f"{name} is {value!r}")
        return [item for item in value if isinstance(item, int)]

    def pair(self, position: int, name: str, default: tuple[int, ...] = ()) -> list[int]:
        """One number for each side of an image; a single one is both."""
        values = self.integers(position, name, default)
        return values * 2 if len(values) == 1 else values

    def only(self, position: int, name: str, allowed: Argument) -> None:
        """Refuse any other value than this, which is the default."""
        value = self.get(position, name, allowed)
        if value != allowed:
            raise NotInOnnx(f"{name} is {value!r}")


Write = Callable[[Graph, Arguments], str]
"""Adds what computes a node; gives the name of its result."""
