"""A convolution by oneDNN, through torch: its weight in the library's own layout, a sum and an activation in one call.

The operators are those that torch's own compiler uses on the CPU (`torch.ops.mkldnn`). They trust their caller: a
summand of another shape is read past its end. So `sum_call` looks at shapes and does the same in single operators where
they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch

from framepilot_app.graphs.fusion import Unary
from framepilot_app.graphs.operators import CONVOLUTION
from framepilot_app.graphs.program import Argument, Node, ParameterRef

MAX_BYTES: Final = 16 << 20
"""A larger weight is not packed: that is one call, and one step of loading must be short."""

_NONE: Final = Unary("none")
_NO_PADDING: Final = [0, 0]


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
    def of(cls, node: Node, weights: Mapping[str, torch.Tensor]) -> Convolution | None:
        """The convolution of a node; None: it is none, or not one that is packed."""
        if node.op != CONVOLUTION or len(node.args) != 9 or node.kwargs:
            return None
        _, weight, bias, stride, padding, dilation, transposed, output_padding, groups = node.args
        if not isinstance(weight, ParameterRef) or not isinstance(bias, ParameterRef | None):
            return None
        pairs = [_pair(stride, 1), _pair(padding, 0), _pair(dilation, 1)]
        if None in pairs or not isinstance(groups, int) or groups < 1 or not isinstance(transposed, bool):
            return None
        tensor = weights[weight.name]
        if tensor.dim() != 4 or tensor.dtype != torch.float32 or tensor.numel() == 0 or tensor.nbytes > MAX_BYTES:
            return None
        channels = tensor.shape[1] * groups if transposed else tensor.shape[0]
        if bias is not None and (weights[bias.name].shape != (channels,) or weights[bias.name].dtype != torch.float32):
            return None
        # Packed depthwise transposed convolutions are 10 x slower than plain ones, and with an output padding the
        # library accepts what torch refuses, and the other way round.
        if channels % groups or (transposed and (groups > 1 or output_padding != (0, 0))):
            return None
        # Of one channel, channels last, oneDNN gives wrong numbers where the output is 1 wide and the stride is not.
        if groups == tensor.shape[1] == 1:
            return None
        listed = [pair for pair in pairs if pair is not None]
        return cls(weight.name, bias.name if bias else None, listed[0], listed[1], listed[2], transposed, groups)

    def pack(self, weight: torch.Tensor, size: list[int] | None) -> torch.Tensor:
        """The weight in oneDNN's layout: an opaque tensor, only good for `call` and `sum_call`.

        `size` is that of a typical input, N x C x H x W. It decides the layout: without it the library may choose one
        that it must change in every call (measured: 13 ms instead of 1 for a 1 x 1 convolution of 960 to 320 channels).
        """
        if self.transposed:
            reorder = _onednn("_reorder_convolution_transpose_weight")
            rest: tuple[object, ...] = (self.padding, _NO_PADDING, self.stride, self.dilation, self.groups)
        else:
            reorder = _onednn("_reorder_convolution_weight")
            rest = (self.padding, self.stride, self.dilation, self.groups)
        try:
            return reorder(weight, *rest, size)
        except RuntimeError:
            # The size is a hint from the program; one that is impossible says nothing about the weight.
            return reorder(weight, *rest, None)

    def call(
        self, packed: torch.Tensor, bias: torch.Tensor | None, unary: Unary | None
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Convolution, then activation."""
        attribute, scalars, algorithm = _unary_arguments(unary or _NONE)
        places = (self.padding, _NO_PADDING) if self.transposed else (self.padding,)
        rest = (packed, bias, *places, self.stride, self.dilation, self.groups, attribute, scalars, algorithm)
        function = _onednn("_convolution_transpose_pointwise" if self.transposed else "_convolution_pointwise")

        def run(image: torch.Tensor) -> torch.Tensor:
            return function(image, *rest)

        return run

    def sum_call(
        self, packed: torch.Tensor, size: tuple[int, ...], bias: torch.Tensor | None, unary: Unary | None
    ) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Convolution, plus the second tensor, then relu or nothing. `size` is the weight's: out x in x h x w."""
        attribute = None if unary is None else unary.attribute
        rest: tuple[object, ...]
        rest = (packed, bias, self.padding, self.stride, self.dilation, self.groups, "add", None, attribute, [], None)
        function = _onednn("_convolution_pointwise", "binary")
        single = self.call(packed, bias, None)
        (pad_y, pad_x), (step_y, step_x) = self.padding, self.stride
        reach_y, reach_x = (gap * (length - 1) for gap, length in zip(self.dilation, size[2:], strict=True))

        def run(image: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            count, _, height, width = image.shape
            below, right = height + 2 * pad_y - reach_y - 1, width + 2 * pad_x - reach_x - 1
            shape = (count, size[0], below // step_y + 1, right // step_x + 1)
            if other.shape == shape and other.dtype == torch.float32:
                return function(image, other, *rest)
            result = single(image) + other
            return result if attribute is None else result.relu()

        return run


def _onednn(name: str, overload: str = "default") -> Callable[..., torch.Tensor]:
    function: Callable[..., torch.Tensor] = getattr(getattr(torch.ops.mkldnn, name), overload)
    return function


def _unary_arguments(unary: Unary) -> tuple[str, list[float], str]:
    return unary.attribute, list(unary.scalars), unary.algorithm


def _pair(value: Argument, least: int) -> list[int] | None:
    if not isinstance(value, tuple):
        return None
    numbers = [item for item in value if isinstance(item, int) and not isinstance(item, bool) and item >= least]
    return numbers if len(numbers) == len(value) == 2 else None
