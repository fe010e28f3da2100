"""How much a kernel computes for one item, estimated from the shapes that its program says. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from framepilot_app.graphs.fusion import Kernel
from framepilot_app.graphs.operators import CONVOLUTION
from framepilot_app.graphs.parameter import TensorType
from framepilot_app.graphs.program import Argument, NodeRef, ParameterRef

Shape = tuple[int, ...]

_FLOAT_BYTES: Final = 4
_MATRIX: Final = {
    "aten.linear.default": 0,
    "aten.matmul.default": 0,
    "aten.mm.default": 0,
    "aten.bmm.default": 0,
    "aten.addmm.default": 1,
}
"""The argument whose last dimension is summed over."""


def flops_of(kernel: Kernel, shapes: Mapping[str, Shape], types: Mapping[str, TensorType]) -> int:
    """Multiplications and additions; one for each number of the output where nothing better is known of an operator.

    Args:
        kernel: what runs.
        shapes: of the values that it takes, -1 for the batch; empty if unknown.
        types: of the parameters.
    """
    numbers = _numbers(kernel.shape)
    each = 1
    if kernel.node.op == CONVOLUTION and len(kernel.node.args) == 9:
        each = 2 * _taps(kernel.node.args, types)
    elif kernel.node.op in _MATRIX:
        each = 2 * _inner(kernel.node.args[_MATRIX[kernel.node.op] :], shapes, types)
    return numbers * (each + (kernel.other is not None) + (kernel.unary is not None))


def item_bytes(shape: Shape) -> int:
    """Bytes of a float32 value for one item; 0 if its shape is unknown."""
    return _numbers(shape) * _FLOAT_BYTES


def _numbers(shape: Shape) -> int:
    """How many one item has: the batch counts as 1."""
    return abs(math.prod(shape)) if shape else 0


def _taps(args: tuple[Argument, ...], types: Mapping[str, TensorType]) -> int:
    """Products that are added up for one number of a convolution's output."""
    weight, stride, transposed, groups = args[1], args[3], args[6], args[8]
    if not isinstance(weight, ParameterRef) or not isinstance(groups, int):
        return 1
    shape = types[weight.name].shape
    if not transposed:
        return math.prod(shape[1:])
    # Every number of the input is multiplied with all the kernel, and the output is larger by the stride.
    steps = [step for step in stride if isinstance(step, int)] if isinstance(stride, tuple) else []
    return max(1, math.prod(shape[2:]) * shape[0] // max(groups, 1) // max(math.prod(steps), 1))


def _inner(args: tuple[Argument, ...], shapes: Mapping[str, Shape], types: Mapping[str, TensorType]) -> int:
    match args:
        case (NodeRef(name), *_):
            shape = shapes.get(name, ())
        case (ParameterRef(name), *_):
            shape = types[name].shape
        case _:
            shape = ()
    return max(1, shape[-1]) if shape else 1
