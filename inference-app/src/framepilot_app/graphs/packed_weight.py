"""A convolution's weight in the layout that oneDNN runs it with: an opaque tensor, which only its own calls take.

The library chooses a layout by the input's size and the number of threads, and changes a weight that comes in another
one in every call, which can take a hundred times as long as the convolution. With several threads a batch of one
picture can want another layout than all others (measured on two: 7 ms instead of 0.06 for a 1 x 1 convolution of 960 to
320 channels). Then there are two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from framepilot_app.graphs.convolution import Convolution
from framepilot_app.graphs.script import Script, Slot, Written

NO_PADDING: Final = [0, 0]


@dataclass(frozen=True, slots=True, eq=False)
class PackedWeight:
    """`single` is for batches of one picture, `usual` for all others; they may be the same."""

    usual: torch.Tensor
    single: torch.Tensor

    def of(self, image: torch.Tensor) -> torch.Tensor:
        """The one for a batch, N x C x H x W."""
        return self.single if len(image) == 1 else self.usual

    def write(self, script: Script, image: Slot) -> torch.Tensor | Written:
        """The same in a script: with N limited to 2, it is a place in a list."""
        if self.single is self.usual:
            return self.usual
        count = script.operation("int", f"aten::size({script.value(image)}, {script.value(0)})")
        place = script.operation("int", f"prim::min({count}, {script.value(2)})")
        both = script.value([self.usual, self.single, self.usual])
        return Written(script.operation("Tensor", f"aten::__getitem__({both}, {place})"))


def pack(convolution: Convolution, weight: torch.Tensor, size: list[int] | None) -> torch.Tensor:
    """The weight in the layout for an input of this size, N x C x H x W; None: whichever the library thinks of."""
    pairs = (convolution.stride, convolution.dilation, convolution.groups)
    if convolution.transposed:
        reorder = operator("_reorder_convolution_transpose_weight")
        rest: tuple[object, ...] = (convolution.padding, NO_PADDING, *pairs)
    else:
        reorder = operator("_reorder_convolution_weight")
        rest = (convolution.padding, *pairs)
    try:
        return reorder(weight, *rest, size)
    except RuntimeError:
        # The size is a hint from the program; one that is impossible says nothing about the weight.
        return reorder(weight, *rest, None)


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two packed weights of one convolution have the same layout."""
    describe = operator("_get_mkldnn_serialized_md")
    return torch.equal(describe(one), describe(other))


def operator(name: str, overload: str = "default") -> Callable[..., torch.Tensor]:
    """One of those that torch's own compiler uses on the CPU."""
    function: Callable[..., torch.Tensor] = getattr(getattr(torch.ops.mkldnn, name), overload)
    return function
