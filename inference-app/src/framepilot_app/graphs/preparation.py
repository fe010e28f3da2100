"""Makes the kernels of a program ready on a device: weights in the layout that runs fastest, calls bound to slots.

Everything that takes time is cut into pieces, and the generators yield in between: a device thread does this beside
serving.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from types import EllipsisType
from typing import Final

import torch

from framepilot_app.graphs import aten
from framepilot_app.graphs.calls import Call, Instruction, PlainCall
from framepilot_app.graphs.fusion import Kernel, fuse
from framepilot_app.graphs.onednn import Convolution, ConvolutionCall, SumCall
from framepilot_app.graphs.program import NodeRef, ParameterRef, Program
from framepilot_app.graphs.script import Slot

PIECE_BYTES: Final = 2 << 20
"""How much of a weight one step copies, or reads from the file."""

TYPICAL_BATCH: Final = 4
"""The batch size for which convolution weights are laid out; they run at every other, too."""


class Preparation:
    """What the instructions of one program have in common while they are prepared."""

    def __init__(self, program: Program, stored: Mapping[str, torch.Tensor], device: torch.device) -> None:
        self._program = program
        self._stored = stored
        self._device = device
        self._placed: dict[str, torch.Tensor] = {}
        self._packed_bytes = 0
        image = program.input
        self._shapes: dict[str, tuple[int, ...]] = {node.name: node.shape for node in program.nodes}
        self._shapes[image.name] = (-1, image.channels, image.height, image.width)
        self._convolutions = self._packable()
        self.kernels = fuse(program, frozenset(self._convolutions))
        self._slots = {program.input.name: 0} | {kernel.name: slot for slot, kernel in enumerate(self.kernels, 1)}
        self._dead = _last_uses(self.kernels, program.outputs)

    def instruction(self, kernel: Kernel) -> Generator[None, None, Instruction]:
        """Make one kernel ready.

        Raises:
            ProgramError, RuntimeError, TypeError, ValueError: its arguments are not what torch takes.
        """
        convolution = self._convolutions.get(kernel.node.name)
        if convolution is None:
            ready = yield from self._plain(kernel)
        else:
            ready = yield from self._packed(kernel, convolution)
        dead = tuple(self._slots[name] for name in self._dead[kernel.name])
        return Instruction(kernel.name, ready, self._slots[kernel.name], dead)

    @property
    def nbytes(self) -> int:
        """Bytes of the parameters that were made ready so far, as large as they are unpacked."""
        return self._packed_bytes + sum(tensor.nbytes for tensor in self._placed.values())

    def outputs(self) -> tuple[int, ...]:
        """The slots of the program's outputs."""
        return tuple(self._slots[name] for name in self._program.outputs)

    def _packable(self) -> dict[str, Convolution]:
        if self._device.type != "cpu" or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
            return {}
        found = {node.name: Convolution.of(node, self._stored) for node in self._program.nodes}
        return {name: convolution for name, convolution in found.items() if convolution is not None}

    def _plain(self, kernel: Kernel) -> Generator[None, None, Call]:
        node = kernel.node
        for name in node.parameters():
            yield from self._place(name)

        def tensors(reference: NodeRef | ParameterRef) -> object:
            if isinstance(reference, NodeRef):
                return Slot(self._slots[reference.name])
            return self._placed[reference.name]

        args = [aten.bind(argument, tensors) for argument in node.args]
        kwargs = {key: aten.bind(argument, tensors) for key, argument in node.kwargs.items()}
        return PlainCall.of(aten.function(node.op), args, kwargs)

    def _packed(self, kernel: Kernel, convolution: Convolution) -> Generator[None, None, Call]:
        weight = self._stored[convolution.weight]
        yield from _touch(weight)
        with torch.inference_mode():
            packed = convolution.pack(weight, self._typical_size(kernel))
        self._packed_bytes += weight.nbytes
        bias = None
        if convolution.bias is not None:
            yield from self._place(convolution.bias)
            bias = self._placed[convolution.bias]
        image = self._slots[next(kernel.node.inputs())]
        if kernel.other is None:
            return ConvolutionCall.of(convolution, packed, bias, image, kernel.unary)
        alone = ConvolutionCall.of(convolution, packed, bias, image, None)
        other = self._slots[kernel.other]
        return SumCall.of(convolution, tuple(weight.shape), alone, other, kernel.unary, self._image_size(kernel))

    def _typical_size(self, kernel: Kernel) -> list[int] | None:
        sizes = self._image_size(kernel)
        return None if sizes is None else [TYPICAL_BATCH, *sizes]

    def _image_size(self, kernel: Kernel) -> tuple[int, ...] | None:
        """C x H x W of what a kernel takes, as the program says."""
        sizes = self._shapes[next(kernel.node.inputs())][1:]
        return sizes if len(sizes) == 3 and min(sizes) > 0 else None

    def _place(self, name: str) -> Generator[None, None, None]:
        """Copy a parameter to the device, piece by piece; once, however many nodes take it."""
        if name in self._placed:
            return
        source = self._stored[name]
        # Of one channel both formats are the same memory, and oneDNN goes wrong with one (see onednn.py).
        channels_last = source.dim() == 4 and source.shape[1] > 1
        target = torch.empty_like(
            source,
            device=self._device,
            memory_format=torch.channels_last if channels_last else torch.contiguous_format,
        )
        for piece in _pieces(source):
            target[piece].copy_(source[piece])
            yield
        self._placed[name] = target


def _pieces(tensor: torch.Tensor) -> list[slice | EllipsisType]:
    """Parts along the first dimension, each of at most `PIECE_BYTES` where one row is not more."""
    if tensor.dim() == 0 or tensor.nbytes <= PIECE_BYTES:
        return [...]
    rows = max(1, PIECE_BYTES * tensor.shape[0] // tensor.nbytes)
    return [slice(start, start + rows) for start in range(0, tensor.shape[0], rows)]


def _touch(tensor: torch.Tensor) -> Generator[None, None, None]:
    """Read a large tensor in pieces, so that what comes next finds it in memory."""
    if tensor.nbytes <= PIECE_BYTES:
        return
    for piece in _pieces(tensor):
        tensor[piece].sum()
        yield


def _last_uses(kernels: tuple[Kernel, ...], outputs: tuple[str, ...]) -> dict[str, list[str]]:
    """For each kernel, the values that it is the last one to take, or that nobody takes."""
    dead: dict[str, list[str]] = {}
    needed = set(outputs)
    for kernel in reversed(kernels):
        last = {*kernel.inputs(), kernel.name} - needed
        dead[kernel.name] = sorted(last)
        needed |= last
    return dead
