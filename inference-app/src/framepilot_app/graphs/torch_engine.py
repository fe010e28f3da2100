"""The torch engine: a program becomes a flat list of ready calls, on the CPU with oneDNN's packed convolutions.

Weights are mapped from the file while it compiles and copied in pieces, so afterwards nothing depends on the file, and
no batch waits for the disk. A batch runs as one script (`segments.py`), or call by call, forgetting each tensor after
its last use. Nothing refers back to what holds it, so the memory of a compiled program that is dropped is given back at
once, without the garbage collector.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from framepilot_app.graphs.calls import Instruction, Values
from framepilot_app.graphs.engine import Compilation, EngineError, Outputs
from framepilot_app.graphs.preparation import Preparation
from framepilot_app.graphs.program import ImageInput, Program, ProgramError
from framepilot_app.graphs.script import Function, NotScriptable
from framepilot_app.graphs.segments import whole

log = logging.getLogger(__name__)


def compile(  # noqa: A001 - the field's name; nobody means the builtin here
    program: Program, weights: Path | Mapping[str, torch.Tensor], device: torch.device
) -> Compilation:
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
        preparation = Preparation(program, stored, device)
        yield
        instructions: list[Instruction] = []
        for kernel in preparation.kernels:
            try:
                instruction = yield from preparation.instruction(kernel)
            except (ProgramError, RuntimeError, TypeError, ValueError) as error:
                raise EngineError(
                    f"{kernel.name}: {kernel.node.op} cannot be prepared: {_first_line(error)}"
                ) from error
            instructions.append(instruction)
            yield
        compiled = TorchCompiled(program.input, device, tuple(instructions), preparation.outputs(), preparation.nbytes)
        yield from compiled.write_script()
        return compiled


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
        self._script: Function | None = None

    def write_script(self) -> Generator[None, None, None]:
        """From now on run as a script, if all can be written in one.

        On other devices than a CPU operators return at once, and Python waits for nothing.
        """
        if self._device.type != "cpu":
            return
        zeros = torch.zeros(1, *self._shape)
        try:
            # Each operator's first run prepares it: one by one these are small steps.
            yield from self.steps(zeros)
            yield
            self._script = yield from whole(self._instructions, self._outputs, self._image(zeros))
        except (NotScriptable, EngineError, RuntimeError) as reason:
            log.info("runs from Python, operator by operator: %s", _first_line(reason))

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
            if self._script is not None:
                image = self._image(batch)
                try:
                    return self._script(image)
                except RuntimeError as error:
                    # The operators one by one do the same, and say which of them cannot.
                    log.warning("a batch failed as a script: %s", _first_line(error))
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
        values: Values = [None] * self._slots
        values[0] = self._image(batch)
        return values

    def _image(self, batch: torch.Tensor) -> torch.Tensor:
        if batch.shape[1:] != self._shape or batch.dim() != 4 or batch.shape[0] < 1 or batch.dtype != torch.float32:
            wanted = " x ".join(map(str, self._shape))
            raise EngineError(
                f"{self._name}: a batch of {tuple(batch.shape)}, {batch.dtype}; the program takes N x {wanted}, float32"
            )
        return batch.to(self._device, non_blocking=True).contiguous(memory_format=torch.channels_last)

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


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
