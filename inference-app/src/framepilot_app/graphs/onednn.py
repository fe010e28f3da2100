"""A convolution by oneDNN, through torch: its weight packed (`packed_weight.py`), a sum and an activation in one call.

The operators are those that torch's own compiler uses on the CPU (`torch.ops.mkldnn`). They trust their caller: a
summand of another shape is read past its end. So `SumCall` looks at shapes, and does the same in single operators where
they differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from framepilot_app.graphs.calls import Values
from framepilot_app.graphs.convolution import Convolution
from framepilot_app.graphs.fusion import Unary
from framepilot_app.graphs.packed_weight import NO_PADDING, PackedWeight, operator
from framepilot_app.graphs.script import NotScriptable, Script, Slot, Written

_NONE: Final = Unary("none")
_FLOAT32: Final = 6
"""The number of the type in torch's scripts (c10::ScalarType::Float)."""


@dataclass(frozen=True, slots=True)
class ConvolutionCall:
    """Convolution, then activation."""

    function: Callable[..., torch.Tensor]
    image: int
    weight: PackedWeight
    bias: torch.Tensor | None
    rest: tuple[object, ...]

    @classmethod
    def of(
        cls, convolution: Convolution, weight: PackedWeight, bias: torch.Tensor | None, image: int, unary: Unary | None
    ) -> ConvolutionCall:
        """The image is in slot `image`."""
        places = (convolution.padding, NO_PADDING) if convolution.transposed else (convolution.padding,)
        activation = _unary_arguments(unary or _NONE)
        rest = (*places, convolution.stride, convolution.dilation, convolution.groups, *activation)
        name = "_convolution_transpose_pointwise" if convolution.transposed else "_convolution_pointwise"
        return cls(operator(name), image, weight, bias, rest)

    def __call__(self, values: Values) -> torch.Tensor:
        """Run it."""
        image = values[self.image]
        if not isinstance(image, torch.Tensor):
            raise TypeError("a convolution takes a tensor")
        return self.function(image, self.weight.of(image), self.bias, *self.rest)

    def takes(self) -> tuple[int, ...]:
        """The image."""
        return (self.image,)

    def write(self, script: Script) -> str:
        """As one operation."""
        image = Slot(self.image)
        return script.call(self.function, (image, self.weight.write(script, image), self.bias, *self.rest))


@dataclass(frozen=True, slots=True)
class SumCall:
    """Convolution, plus a second tensor, then relu or nothing; in single operators where shapes differ."""

    function: Callable[..., torch.Tensor]
    alone: ConvolutionCall
    other: int
    rest: tuple[object, ...]
    relu: bool
    weight: tuple[int, ...]
    convolution: Convolution
    sizes: tuple[int, ...] | None
    """C x H x W of the image as the program says: a hint, which a script checks in every batch."""

    @classmethod
    def of(
        cls,
        convolution: Convolution,
        weight: tuple[int, ...],
        alone: ConvolutionCall,
        other: int,
        unary: Unary | None,
        sizes: tuple[int, ...] | None,
    ) -> SumCall:
        """`weight` is its size, out x in x h x w; `alone` the convolution without sum and activation."""
        attribute = None if unary is None else unary.attribute
        places = (convolution.padding, convolution.stride, convolution.dilation, convolution.groups)
        rest: tuple[object, ...] = (*places, "add", None, attribute, [], None)
        function = operator("_convolution_pointwise", "binary")
        return cls(function, alone, other, rest, unary is not None, weight, convolution, sizes)

    def __call__(self, values: Values) -> torch.Tensor:
        """Run it."""
        image, other = values[self.alone.image], values[self.other]
        if not isinstance(image, torch.Tensor) or not isinstance(other, torch.Tensor):
            raise TypeError("a convolution and a sum take tensors")
        shape = (image.shape[0], *self._result(tuple(image.shape[2:])))
        if other.shape == shape and other.dtype == torch.float32:
            return self.function(image, other, self.alone.weight.of(image), self.alone.bias, *self.rest)
        result = self.alone(values) + other
        return result.relu() if self.relu else result

    def takes(self) -> tuple[int, ...]:
        """The image and the summand."""
        return self.alone.image, self.other

    def write(self, script: Script) -> str:
        """Fused by the sizes that the program says; the script makes sure of them: `expand` to another one fails."""
        if self.sizes is None:
            raise NotScriptable("a sum of unknown size")
        image = Slot(self.alone.image)
        count = Written(script.operation("int", f"aten::size({script.value(image)}, {script.value(0)})"), "int")
        # Returns it as it is, unless it is no float32.
        other = Written(script.call(torch.ops.aten.to.dtype, (Slot(self.other), _FLOAT32)))
        tensors = (
            _expanded(script, image, (-1, *self.sizes)),
            _expanded(script, other, (count, *self._result(self.sizes[1:]))),
        )
        weight = self.alone.weight.write(script, image)
        return script.call(self.function, (*tensors, weight, self.alone.bias, *self.rest))

    def _result(self, size: tuple[int, ...]) -> tuple[int, int, int]:
        """C x H x W of the result for an image of this height and width."""
        (height, width), own = size, self.convolution
        (pad_y, pad_x), (step_y, step_x), (gap_y, gap_x) = own.padding, own.stride, own.dilation
        below = height + 2 * pad_y - gap_y * (self.weight[2] - 1) - 1
        right = width + 2 * pad_x - gap_x * (self.weight[3] - 1) - 1
        return self.weight[0], below // step_y + 1, right // step_x + 1


def _expanded(script: Script, tensor: Slot | Written, sizes: tuple[object, ...]) -> Written:
    return Written(script.call(torch.ops.aten.expand.default, (tensor, list(sizes))))


def _unary_arguments(unary: Unary) -> tuple[str, list[float], str]:
    return unary.attribute, list(unary.scalars), unary.algorithm
