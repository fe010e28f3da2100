"""Which convolutions oneDNN runs, packed, and with what arguments. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from framepilot_app.graphs.operators import CONVOLUTION
from framepilot_app.graphs.parameter import TensorType
from framepilot_app.graphs.program import Argument, Node, ParameterRef

MAX_BYTES: Final = 16 << 20
"""A larger weight is not packed: that is one call, and one step of loading must be short."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """Arguments of a convolution that oneDNN can run; pairs are height and width."""

    weight: str
    bias: str | None
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    transposed: bool
    groups: int

    @classmethod
    def of(cls, node: Node, types: Mapping[str, TensorType]) -> Convolution | None:
        """The convolution of a node; None: it is none, or not one that is packed. `types` are the parameters'."""
        if node.op != CONVOLUTION or len(node.args) != 9 or node.kwargs:
            return None
        _, weight, bias, stride, padding, dilation, transposed, output_padding, groups = node.args
        if not isinstance(weight, ParameterRef) or not isinstance(bias, ParameterRef | None):
            return None
        pairs = [_pair(stride, 1), _pair(padding, 0), _pair(dilation, 1)]
        if None in pairs or not isinstance(groups, int) or groups < 1 or not isinstance(transposed, bool):
            return None
        taken = types[weight.name]
        if len(taken.shape) != 4 or taken.dtype != "float32" or not 0 < taken.nbytes <= MAX_BYTES:
            return None
        channels = taken.shape[1] * groups if transposed else taken.shape[0]
        if bias is not None and types[bias.name] != TensorType("float32", (channels,)):
            return None
        # Packed depthwise transposed convolutions are 10 x slower than plain ones, and with an output padding the
        # library accepts what torch refuses, and the other way round.
        if channels % groups or (transposed and (groups > 1 or output_padding != (0, 0))):
            return None
        # Of one channel, channels last, oneDNN gives wrong numbers where the output is 1 wide and the stride is not.
        if groups == taken.shape[1] == 1:
            return None
        listed = [pair for pair in pairs if pair is not None]
        return cls(weight.name, bias.name if bias else None, listed[0], listed[1], listed[2], transposed, groups)


def packed(nodes: Iterable[Node], types: Mapping[str, TensorType]) -> frozenset[str]:
    """Names of the nodes that are such convolutions."""
    return frozenset(node.name for node in nodes if Convolution.of(node, types) is not None)


def _pair(value: Argument, least: int) -> list[int] | None:
    if not isinstance(value, tuple):
        return None
    numbers = [item for item in value if isinstance(item, int) and not isinstance(item, bool) and item >= least]
    return numbers if len(numbers) == len(value) == 2 else None
