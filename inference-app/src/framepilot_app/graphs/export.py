"""From a model as people have it (torch module, .pt2, ONNX) to a program, at pack time.

Heavy, and never imported by what serves. Every result is run against the original (the module, or ONNX Runtime) before
anyone sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch.export import Dim, ExportedProgram

from framepilot_app.graphs import aten
from framepilot_app.graphs.conversion import ExportError, from_exported
from framepilot_app.graphs.engine import first_line
from framepilot_app.graphs.onnx_model import OnnxModel
from framepilot_app.graphs.program import Program
from framepilot_app.graphs.pt2 import read_pt2

__all__ = ["ExportError", "Exported", "from_module", "from_onnx", "from_pt2", "max_abs_error"]

_CHECKED_BATCHES: Final = (1, 3)


@dataclass(frozen=True, slots=True)
class Exported:
    """A program, its parameters by name, and how far it was from the original: largest absolute difference."""

    program: Program
    weights: dict[str, torch.Tensor]
    max_abs_error: float


def from_module(module: torch.nn.Module, example: torch.Tensor) -> Exported:
    """Export a module that takes N x C x H x W, float32, and gives a tensor or a tuple of tensors with N first.

    Args:
        module: it is put into eval mode.
        example: N x C x H x W, any N; the result works at every N >= 1 with this C, H and W.

    Raises:
        ExportError: torch.export refuses the module, it uses an operator that is not allowed, or its result differs.
    """
    module.eval()
    program, weights = from_exported(_exported(module, example))
    return Exported(program, weights, max_abs_error(program, weights, module, example))


def from_pt2(path: Path, *, trust: bool = False) -> Exported:
    """Export what `torch.export.save` wrote, with a dynamic batch.

    Reading such an archive with torch can execute what its author wants. So without `trust` torch's reader is not used:
    an archive that holds anything but plain tensors and ATen operators is refused before any of it is loaded.

    Raises:
        ExportError: refused, damaged, or not exportable.
    """
    if trust:
        exported, original = _trusted(path)
        program, weights = from_exported(exported)
    else:
        original, shape = read_pt2(path)
        program, weights = from_exported(_exported(original, torch.zeros(shape)))
    image = program.input
    example = torch.zeros(1, image.channels, image.height, image.width)
    return Exported(program, weights, max_abs_error(program, weights, original, example))


def from_onnx(path: Path, size: tuple[int, int] | None = None) -> Exported:
    """Export an ONNX model with one image input; compared with ONNX Runtime.

    Args:
        path: the .onnx file.
        size: height and width in pixels; None: those that the file states.

    Raises:
        ExportError: damaged, an operator that cannot be converted, no stated size, or another result than ONNX Runtime.
    """
    model = OnnxModel.load(path, size)
    example = torch.zeros(1, *model.shape)
    program, weights = from_exported(_exported(model.module(), example))
    return Exported(program, weights, max_abs_error(program, weights, model.reference(), example))


def max_abs_error(
    program: Program,
    weights: Mapping[str, torch.Tensor],
    original: Callable[[torch.Tensor], object],
    example: torch.Tensor,
) -> float:
    """Largest absolute difference between a program and the original, over random batches around the example.

    Raises:
        ExportError: the outputs differ in number or shape, or are not finite.
    """
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for size in _CHECKED_BATCHES:
        noise = torch.rand(size, *example.shape[1:], generator=generator) - 0.5
        batch = example[:1].float() + noise * (1 + example.abs().max())
        with torch.inference_mode():
            expected = _tensors(original(batch))
        found = aten.run(program, weights, batch)
        shapes = [tuple(tensor.shape) for tensor in found], [tuple(tensor.shape) for tensor in expected]
        if shapes[0] != shapes[1]:
            raise ExportError(f"gives shapes {shapes[0]}, the original {shapes[1]}", "program", _REPORT)
        for ours, theirs in zip(found, expected, strict=True):
            difference = (ours - theirs).abs().max() if ours.numel() else torch.zeros(())
            if not torch.isfinite(difference):
                raise ExportError("gives numbers that are not finite", "program", "check the model's weights")
            worst = max(worst, float(difference))
    return worst


_REPORT: Final = "export the model in another way (module, .pt2, ONNX) and pack that"


def _exported(module: torch.nn.Module, example: torch.Tensor) -> ExportedProgram:
    where = type(module).__name__
    if example.dim() != 4:
        raise ExportError(f"the example has {example.dim()} dimensions", where, "give one of N x C x H x W")
    # torch.export takes a size of 1 for a constant.
    several = torch.cat([example, example]) if example.shape[0] == 1 else example
    try:
        return torch.export.export(module, (several,), dynamic_shapes=({0: Dim("batch", min=1)},))
    except Exception as error:  # whatever it raises is the module's fault
        raise ExportError(
            f"torch.export refused it: {first_line(error)}",
            where,
            "make it traceable with a dynamic batch (see torch.export)",
        ) from error


def _trusted(path: Path) -> tuple[ExportedProgram, torch.nn.Module]:
    try:
        exported = torch.export.load(path)
        return exported, exported.module()
    except Exception as error:  # the archive is arbitrary, so is what reading it raises
        raise ExportError(
            f"torch.export cannot load it: {first_line(error)}", str(path), "save it again with torch.export.save"
        ) from error


def _tensors(output: object) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict):
        return _tensors(list(output.values()))
    if isinstance(output, list | tuple):
        return [tensor for item in output for tensor in _tensors(item)]
    raise ExportError(f"gives a {type(output).__name__}", "output", "let the module return tensors only")
