"""Makes the kernels of a stage ready on a device: weights in the layout that runs fastest, calls bound to slots.

Everything that takes time is cut into pieces, and the generators yield in between: a device thread does this beside
serving.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Hashable, Mapping
from types import EllipsisType
from typing import Final

import torch

from framepilot_app.graphs import aten
from framepilot_app.graphs.calls import Call, Instruction, PlainCall
from framepilot_app.graphs.convolution import Convolution
from framepilot_app.graphs.forms import Form, Making, Parameters
from framepilot_app.graphs.fusion import Kernel
from framepilot_app.graphs.onednn import ConvolutionCall, SumCall
from framepilot_app.graphs.packed_weight import PackedWeight, alike, pack
from framepilot_app.graphs.parameter import TensorType
from framepilot_app.graphs.program import NodeRef, ParameterRef
from framepilot_app.graphs.script import Slot
from framepilot_app.graphs.stage import Stage

PIECE_BYTES: Final = 2 << 20
"""How much of a weight one step copies, or reads from the file."""

TYPICAL_BATCH: Final = 4
"""The batch size for which convolution weights are laid out; they run at every other, too, unless 1 wants its own."""


class Preparation:
    """What the instructions of one stage have in common while they are prepared. `stored` is what `parameters` has."""

    def __init__(
        self, stage: Stage, stored: Mapping[str, torch.Tensor], parameters: Parameters, device: torch.device
    ) -> None:
        self._stage = stage
        self._stored = stored
        self._parameters = parameters
        self._device = device
        self._forms: dict[tuple[str, Hashable], Form] = {}
        self._constants: dict[str, aten.Value] = {}
        self._shapes = {**stage.inputs, **{kernel.name: kernel.shape for kernel in stage.kernels}}
        names = [*stage.inputs, *(kernel.name for kernel in stage.kernels)]
        self._slots = {name: slot for slot, name in enumerate(names)}
        self._dead = stage.last_uses()
        self._packed_here = packs(device)
        self._one_thread = torch.get_num_threads() == 1
        self._types = {name: type_of(tensor) for name, tensor in stored.items()}

    def instruction(self, kernel: Kernel) -> Generator[None, None, Instruction | None]:
        """Make one kernel ready; None: what it gives is a constant, computed now.

        Raises:
            ProgramError, RuntimeError, TypeError, ValueError: its arguments are not what torch takes.
        """
        convolution = Convolution.of(kernel.node, self._types) if self._packed_here else None
        if convolution is None:
            ready = yield from self._plain(kernel)
        else:
            ready = yield from self._packed(kernel, convolution)
        if not ready.takes() and kernel.name not in self._stage.outputs:
            with torch.inference_mode():
                self._constants[kernel.name] = ready([])
            return None
        dead = tuple(self._slots[name] for name in self._dead[kernel.name])
        # Several threads wait for each other after every call, so more and shorter calls would cost more than is saved.
        piece = kernel.piece if self._one_thread and self._packed_here else 0
        return Instruction(kernel.name, ready, self._slots[kernel.name], dead, piece)

    @property
    def forms(self) -> tuple[Form, ...]:
        """The parameters that were made ready so far."""
        return tuple(self._forms.values())

    @property
    def slots(self) -> int:
        """How many values there are while a batch runs."""
        return len(self._slots)

    def outputs(self) -> tuple[int, ...]:
        """The slots of the stage's outputs."""
        return tuple(self._slots[name] for name in self._stage.outputs)

    def _plain(self, kernel: Kernel) -> Generator[None, None, Call]:
        node = kernel.node
        placed: dict[str, torch.Tensor] = {}
        for name in node.parameters():
            placed[name] = yield from self._place(name)

        def tensors(reference: NodeRef | ParameterRef) -> object:
            if isinstance(reference, ParameterRef):
                return placed[reference.name]
            constant = self._constants.get(reference.name)
            return Slot(self._slots[reference.name]) if constant is None else constant

        args = [aten.bind(argument, tensors) for argument in node.args]
        kwargs = {key: aten.bind(argument, tensors) for key, argument in node.kwargs.items()}
        return PlainCall.of(aten.function(node.op), args, kwargs)

    def _packed(self, kernel: Kernel, convolution: Convolution) -> Generator[None, None, Call]:
        sizes = self._image_size(kernel)
        usual = yield from self._laid_out(convolution, TYPICAL_BATCH, sizes)
        single = usual
        if not self._one_thread and sizes is not None:
            yield
            with torch.inference_mode():
                differs = not alike(usual, pack(convolution, self._stored[convolution.weight], [1, *sizes]))
            if differs:
                single = yield from self._laid_out(convolution, 1, sizes)
        weight = PackedWeight(usual, single)
        bias = None
        if convolution.bias is not None:
            bias = yield from self._place(convolution.bias)
        image = self._slots[next(kernel.node.inputs())]
        if kernel.other is None:
            return ConvolutionCall.of(convolution, weight, bias, image, kernel.unary)
        alone = ConvolutionCall.of(convolution, weight, bias, image, None)
        other, shape = self._slots[kernel.other], tuple(self._stored[convolution.weight].shape)
        return SumCall.of(convolution, shape, alone, other, kernel.unary, sizes)

    def _laid_out(self, convolution: Convolution, batch: int, sizes: tuple[int, ...] | None) -> Making:
        """The weight, packed for so many images of C x H x W."""
        weight = self._stored[convolution.weight]
        size = None if sizes is None else [batch, *sizes]

        def make() -> Making:
            yield from _touch(weight)
            with torch.inference_mode():
                return pack(convolution, weight, size)

        layout = dataclasses.replace(convolution, weight="", bias=None)
        return (yield from self._form(convolution.weight, ("packed", repr(layout), repr(size)), make))

    def _image_size(self, kernel: Kernel) -> tuple[int, ...] | None:
        """C x H x W of what a kernel takes, as the program says."""
        sizes = self._shapes[next(kernel.node.inputs())][1:]
        return sizes if len(sizes) == 3 and min(sizes) > 0 else None

    def _place(self, name: str) -> Making:
        """A parameter on the device, copied piece by piece."""
        source = self._stored[name]
        # Of one channel both formats are the same memory, and oneDNN goes wrong with one (see onednn.py).
        channels_last = source.dim() == 4 and source.shape[1] > 1

        def make() -> Making:
            target = torch.empty_like(
                source,
                device=self._device,
                memory_format=torch.channels_last if channels_last else torch.contiguous_format,
            )
            for piece in _pieces(source):
                target[piece].copy_(source[piece])
                yield
            return target

        return (yield from self._form(name, ("placed", str(self._device)), make))

    def _form(self, name: str, form: Hashable, make: Callable[[], Making]) -> Making:
        held = yield from self._parameters.form(name, form, make)
        self._forms[name, form] = held
        return held.tensor


def packs(device: torch.device) -> bool:
    """Whether convolutions run packed there."""
    return device.type == "cpu" and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def type_of(tensor: torch.Tensor) -> TensorType:
    """Its element type and shape."""
    return TensorType(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))


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
