"""Which kernels at a program's beginning run a batch in pieces, so that what they hand on stays in the cache. Pure.

Values are largest at the beginning, where a convolution often takes less time than writing its output to memory and
reading it again. So the first kernels run for a few pictures, one kernel after the other, then for the next few
(depth first; in CNNs: Alwani et al., Fused-layer CNN accelerators, MICRO 2016).

Whether a kernel does so follows from it and from what it takes, down to the picture, and never from what comes after
it. So programs that share a beginning are cut alike, and give equal values, to the bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from framepilot_app.graphs.fusion import Kernel, fuse
from framepilot_app.graphs.operators import CONVOLUTION
from framepilot_app.graphs.program import ImageInput, Program
from framepilot_app.graphs.work import Shape, item_bytes

CACHE_BYTES: Final = 512 << 10
"""A piece is as many pictures as take this, and kernels run in pieces until their values for one take less.

About half of a core's second-level cache; measured: with more, values leave it; with less, calls are too short.
"""

MOST_PICTURES: Final = 8
"""More than this is most of a batch, which then runs whole."""

_BY_ITEM: Final = frozenset(
    {
        CONVOLUTION,
        "aten.add.Tensor",
        "aten.avg_pool2d.default",
        "aten.clamp.default",
        "aten.hardswish.default",
        "aten.hardtanh.default",
        "aten.leaky_relu.default",
        "aten.max_pool2d.default",
        "aten.relu.default",
        "aten.sigmoid.default",
        "aten.silu.default",
    }
)
"""Operators that compute every item of a batch by itself, if their tensors all have the batch first."""


def kernels_of(program: Program, fusable: frozenset[str]) -> tuple[Kernel, ...]:
    """Kernels in an order in which they can run, those that run in pieces first.

    `fusable` names the convolutions that oneDNN will run, see `fusion.fuse`; others take a batch whole.
    """
    kernels = fuse(program, fusable)
    image = program.input
    size = _piece(image)
    if size > MOST_PICTURES:
        return kernels
    inside: dict[str, Shape] = {image.name: image.shape}
    found: list[Kernel] = []
    for kernel in kernels:
        if _runs_by_item(kernel, fusable) and all(name in inside for name in kernel.inputs()):
            shapes = [kernel.shape, *(inside[name] for name in kernel.inputs())]
            if size * max(map(item_bytes, shapes)) >= CACHE_BYTES:
                inside[kernel.name] = kernel.shape
                found.append(replace(kernel, piece=size))
                continue
        found.append(kernel)
    return tuple(sorted(found, key=lambda kernel: kernel.piece == 0))


def _piece(image: ImageInput) -> int:
    """How many pictures: a power of two, so that the usual batch sizes are whole numbers of pieces."""
    fit = CACHE_BYTES // item_bytes(image.shape)
    return 1 << max(fit, 1).bit_length() - 1


def _runs_by_item(kernel: Kernel, fusable: frozenset[str]) -> bool:
    node = kernel.node
    if node.op not in _BY_ITEM or len(kernel.shape) != 4 or kernel.shape[0] != -1:
        return False
    if node.op == CONVOLUTION:
        return node.name in fusable
    # A parameter might have a first dimension that is taken for the batch.
    return next(iter(node.parameters()), None) is None
