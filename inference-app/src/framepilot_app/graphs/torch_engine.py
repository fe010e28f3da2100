"""The torch engine: a program becomes a flat list of ready calls, on the CPU with oneDNN's packed convolutions.

Weights are mapped from the file while it compiles and copied in pieces, so afterwards nothing depends on the file, and no
batch waits for the disk. Running is a loop over the calls that forgets each tensor after its last use. Nothing refers back
to what holds it, so the memory of a compiled program that is dropped is given back at once, without the garbage collector.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from framepilot_app.graphs import aten
from framepilot_app.graphs.engine import Compilation, EngineError, Outputs
from framepilot_app.graphs.fusion import Kernel, fuse
from framepilot_app.graphs.onednn import Convolution
from framepilot_app.graphs.program import ImageInput, NodeRef, ParameterRef, Program, ProgramError

PIECE_BYTES: Final = 2 << 20
"""How much of a weight one step copies, or reads from the file."""

Values = list[aten.Value | None]
"""What is computed and still needed while a batch runs, by slot."""

Call = Callable[[Values], aten.Value]


class Instruction(NamedTuple):
    """One call: the node that it ends with, where its result goes, and what nobody needs after it."""

    name: str
    call: Call
    slot: int
    dead: tuple[int, ...]


def compile(program: Program, weights: Path | Mapping[str, torch.Tensor], device: torch.device) -> Compilation:  # noqa: A001
    """Prepare a program for a device, in small steps.

    Args:
        program: what to run.
        weights: `weights.safetensors`, or the tensors themselves.
        device: a CPU or CUDA device.

    Raises:
        EngineError: the file lacks a parameter or is damaged, or torch cannot prepare a node.
    """
    with ExitStack() as opened:
        tensors = _open(weights, opened)
        yield
        stored: dict[str, torch.Tensor] = {}
        for name in program.parameters:
            stored[name] = _read(tensors, name)
            yield
        preparation = _Preparation(program, stored, device)
        yield
        instructions: list[Instruction] = []
        for kernel in preparation.kernels:
            try:
                instruction = yield from preparation.instruction(kernel)
            except (ProgramError, RuntimeError, TypeError, ValueError) as error:
                raise EngineError(f"{kernel.name}: {kernel.node.op} cannot be prepared: {_first_line(error)}") from error
            instructions.append(instruction)
            yield
        return preparation.result(tuple(instructions))


class TorchCompiled:
    """A program on a device, ready to run."""

    def __init__(
        self,
        image: ImageInput,
        device: torch.device,
        instructions: tuple[Instruction, ...],
        outputs: tuple[int, ...],
        nbytes: int,
    ) -> None:
        self._shape = (image.channels, image.height, image.width)
        self._name = image.name
        self._device = device
        self._instructions = instructions
        self._outputs = outputs
        self._slots = len(instructions) + 1
        self._nbytes = nbytes

    @property
    def nbytes(self) -> int:
        """Bytes of parameters on the device, as large as they are unpacked."""
        return self._nbytes

    def __call__(self, batch: torch.Tensor) -> Outputs:
        """Run one batch: N x C x H x W, float32, any N >= 1, any memory format; outputs have N first.

        Raises:
            EngineError: the batch has another shape, or a node fails on it.
        """
        with torch.inference_mode():
            values = self._start(batch)
            for instruction in self._instructions:
                _run(instruction, values)
            return self._end(values)

    def steps(self, batch: torch.Tensor) -> Generator[None, None, Outputs]:
        """The same, node by node: yields between nodes."""
        # Inference mode belongs to the thread, not to this generator: it must not stay on while others run.
        with torch.inference_mode():
            values = self._start(batch)
        for instruction in self._instructions:
            yield
            with torch.inference_mode():
                _run(instruction, values)
        return self._end(values)

    def _start(self, batch: torch.Tensor) -> Values:
        if batch.shape[1:] != self._shape or batch.dim() != 4 or batch.shape[0] < 1 or batch.dtype != torch.float32:
            wanted = " x ".join(map(str, self._shape))
            raise EngineError(
                f"{self._name}: a batch of {tuple(batch.shape)}, {batch.dtype}; the program takes N x {wanted}, float32"
            )
        values: Values = [None] * self._slots
        values[0] = batch.to(self._device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        return values

    def _end(self, values: Values) -> Outputs:
        outputs = [values[slot] for slot in self._outputs]
        return tuple(output for output in outputs if isinstance(output, torch.Tensor))


def _run(instruction: Instruction, values: Values) -> None:
    name, call, slot, dead = instruction
    try:
        values[slot] = call(values)
    except Exception as error:
        raise EngineError(f"{name}: cannot be run: {_first_line(error)}") from error
    for unneeded in dead:
        values[unneeded] = None


@dataclass(frozen=True, slots=True)
class _Slot:
    """Stands for the value of a slot in prepared arguments."""

    index: int


class _Preparation:
    """What the instructions of one program have in common while they are prepared."""

    def __init__(self, program: Program, stored: Mapping[str, torch.Tensor], device: torch.device) -> None:
        self._program = program
        self._stored = stored
        self._device = device
        self._placed: dict[str, torch.Tensor] = {}
        self._packed_bytes = 0
        self._convolutions = self._packable()
        self.kernels = fuse(program, frozenset(self._convolutions))
        self._slots = {program.input.name: 0} | {kernel.name: slot for slot, kernel in enumerate(self.kernels, 1)}
        self._dead = _last_uses(self.kernels, program.outputs)

    def instruction(self, kernel: Kernel) -> Generator[None, None, Instruction]:
        convolution = self._convolutions.get(kernel.node.name)
        if convolution is None:
            call = yield from self._plain(kernel)
        else:
            call = yield from self._packed(kernel, convolution)
        dead = tuple(self._slots[name] for name in self._dead[kernel.name])
        return Instruction(kernel.name, call, self._slots[kernel.name], dead)

    def result(self, instructions: tuple[Instruction, ...]) -> TorchCompiled:
        nbytes = self._packed_bytes + sum(tensor.nbytes for tensor in self._placed.values())
        outputs = tuple(self._slots[name] for name in self._program.outputs)
        return TorchCompiled(self._program.input, self._device, instructions, outputs, nbytes)

    def _packable(self) -> dict[str, Convolution]:
        if self._device.type != "cpu" or not torch.backends.mkldnn.is_available():
            return {}
        found = {node.name: Convolution.of(node, self._stored) for node in self._program.nodes}
        return {name: convolution for name, convolution in found.items() if convolution is not None}

    def _plain(self, kernel: Kernel) -> Generator[None, None, Call]:
        node = kernel.node
        for name in node.parameters():
            yield from self._place(name)

        def tensors(reference: NodeRef | ParameterRef) -> object:
            if isinstance(reference, NodeRef):
                return _Slot(self._slots[reference.name])
            return self._placed[reference.name]

        args = [aten.bind(argument, tensors) for argument in node.args]
        kwargs = {key: aten.bind(argument, tensors) for key, argument in node.kwargs.items()}
        return _call(aten.function(node.op), args, kwargs)

    def _packed(self, kernel: Kernel, convolution: Convolution) -> Generator[None, None, Call]:
        weight = self._stored[convolution.weight]
        yield from _touch(weight)
        with torch.inference_mode():
            packed = convolution.pack(weight)
        self._packed_bytes += weight.nbytes
        bias = None
        if convolution.bias is not None:
            yield from self._place(convolution.bias)
            bias = self._placed[convolution.bias]
        image = self._slots[next(kernel.node.inputs())]
        if kernel.other is None:
            return _unary_call(convolution.call(packed, bias, kernel.unary), image, (), {})
        call = convolution.sum_call(packed, tuple(weight.shape), bias, kernel.unary)
        return _binary_call(call, image, self._slots[kernel.other], (), {})

    def _place(self, name: str) -> Generator[None, None, None]:
        """Copy a parameter to the device, piece by piece; once, however many nodes take it."""
        if name in self._placed:
            return
        source = self._stored[name]
        target = torch.empty_like(
            source,
            device=self._device,
            memory_format=torch.channels_last if source.dim() == 4 else torch.contiguous_format,
        )
        for piece in _pieces(source):
            target[piece].copy_(source[piece])
            yield
        self._placed[name] = target


def _open(weights: Path | Mapping[str, torch.Tensor], opened: ExitStack) -> Callable[[str], torch.Tensor]:
    if isinstance(weights, Mapping):
        return weights.__getitem__
    try:
        file = opened.enter_context(safe_open(weights, framework="pt", device="cpu"))
    except (OSError, SafetensorError) as error:
        raise EngineError(f"{weights}: cannot be read: {error}; fetch or pack the model again") from error
    tensor: Callable[[str], torch.Tensor] = file.get_tensor
    return tensor


def _read(tensors: Callable[[str], torch.Tensor], name: str) -> torch.Tensor:
    try:
        return tensors(name).detach()
    except (KeyError, SafetensorError) as error:
        raise EngineError(f"weights: there is no parameter '{name}'; pack the model again") from error


def _pieces(tensor: torch.Tensor) -> list[slice]:
    """Slices of the first dimension, each of at most `PIECE_BYTES` where one row is not more."""
    if tensor.dim() == 0 or tensor.numel() == 0:
        return []
    rows = max(1, PIECE_BYTES * tensor.shape[0] // max(1, tensor.nbytes))
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


def _call(function: aten.Function, args: list[aten.Bound], kwargs: dict[str, aten.Bound]) -> Call:
    """A function of the slots. The common shapes have their own, as this is what every batch runs."""
    match args:
        case [_Slot(index), *rest] if not _has_slot(rest) and not _has_slot(list(kwargs.values())):
            return _unary_call(function, index, tuple(rest), kwargs)
        case [_Slot(first), _Slot(second), *rest] if not _has_slot(rest) and not _has_slot(list(kwargs.values())):
            return _binary_call(function, first, second, tuple(rest), kwargs)
        case _:
            return lambda values: function(
                *[_filled(argument, values) for argument in args],
                **{key: _filled(argument, values) for key, argument in kwargs.items()},
            )


def _unary_call(function: aten.Function, index: int, rest: tuple[aten.Bound, ...], kwargs: dict[str, aten.Bound]) -> Call:
    return lambda values: function(values[index], *rest, **kwargs)


def _binary_call(
    function: aten.Function, first: int, second: int, rest: tuple[aten.Bound, ...], kwargs: dict[str, aten.Bound]
) -> Call:
    return lambda values: function(values[first], values[second], *rest, **kwargs)


def _has_slot(arguments: object) -> bool:
    match arguments:
        case _Slot():
            return True
        case list() | tuple():
            return any(_has_slot(argument) for argument in arguments)
        case _:
            return False


def _filled(argument: aten.Bound, values: Values) -> aten.Bound:
    match argument:
        case _Slot(index):
            return values[index]
        case list():
            return [_filled(item, values) for item in argument]
        case _:
            return argument


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
