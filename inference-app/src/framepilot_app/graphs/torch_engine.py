"""The torch engine: a program as one stage (`torch_stage.py`), with its batch checked and laid out as it takes it.

Weights are mapped from their file while it compiles and copied in pieces, so afterwards nothing depends on the file,
and no batch waits for the disk.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path

import torch

from framepilot_app.graphs.convolution import packed
from framepilot_app.graphs.engine import Compilation, Outputs, check_batch
from framepilot_app.graphs.forms import OwnParameters, Parameters
from framepilot_app.graphs.parameter import TensorType
from framepilot_app.graphs.preparation import packs, type_of
from framepilot_app.graphs.program import ImageInput, Program
from framepilot_app.graphs.stage import Stage
from framepilot_app.graphs.torch_stage import TorchStage, compile_stage


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
    with OwnParameters(weights) as parameters:
        yield
        return (yield from compile_with(program, parameters, device))


def compile_with(program: Program, parameters: Parameters, device: torch.device) -> Compilation:
    """The same with parameters that may be others' as well.

    Raises:
        EngineError: a parameter cannot be had, or torch cannot prepare a node.
    """
    types: dict[str, TensorType] = {}
    for name in program.parameters:
        types[name] = type_of(parameters.stored(name))
        yield
    fusable = packed(program.nodes, types) if packs(device) else frozenset()
    stage = yield from compile_stage(Stage.whole(program, fusable), parameters, device)
    compiled = TorchCompiled(program.input, device, stage)
    yield from compiled.write_script()
    return compiled


class TorchCompiled:
    """A program on a device, ready to run."""

    def __init__(self, image: ImageInput, device: torch.device, stage: TorchStage) -> None:
        self._image = image
        self._device = device
        self._stage = stage

    def write_script(self) -> Generator[None, None, None]:
        """From now on run as a script, if all can be written in one.

        On other devices than a CPU operators return at once, and Python waits for nothing.
        """
        if self._device.type == "cpu":
            zeros = torch.zeros(1, self._image.channels, self._image.height, self._image.width)
            yield from self._stage.write_script(as_image(zeros, self._image, self._device))

    @property
    def nbytes(self) -> int:
        """Bytes of parameters on the device, as large as they are unpacked."""
        return self._stage.nbytes

    def held(self) -> Iterable[tuple[object, int]]:
        """These bytes, by the tensor that several programs may have."""
        return self._stage.held()

    def __call__(self, batch: torch.Tensor) -> Outputs:
        """Run one batch: N x C x H x W, float32, any N >= 1, any memory format; outputs have N first.

        Raises:
            EngineError: the batch has another shape, or a node fails on it.
        """
        with torch.inference_mode():
            return self._stage(as_image(batch, self._image, self._device))

    def steps(self, batch: torch.Tensor) -> Generator[None, None, Outputs]:
        """The same, node by node: yields between nodes."""
        with torch.inference_mode():
            image = as_image(batch, self._image, self._device)
        return (yield from self._stage.steps(image))


def as_image(batch: torch.Tensor, image: ImageInput, device: torch.device) -> torch.Tensor:
    """A batch as a program takes it: on the device, channels last.

    Raises:
        EngineError: it has another shape or element type.
    """
    check_batch(image, batch)
    # Torch lets go of Python's lock in every call, even in one that has nothing to do.
    if batch.device != device:
        batch = batch.to(device, non_blocking=True)
    if batch.is_contiguous(memory_format=torch.channels_last):
        return batch
    return batch.contiguous(memory_format=torch.channels_last)
