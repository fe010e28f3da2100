"""Packing a network into a model's folder: the one place where a model's own code and heavy libraries run.

Whatever the source, it becomes a program and its parameters, is folded, compiled and compared with the original; what a
serving process needs later is then only to map and run it. The folder appears in the store in one step, whole.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import torch

from framepilot_app.graphs import aten
from framepilot_app.graphs.engine import EngineError, Outputs
from framepilot_app.graphs.export import Exported, ExportError, from_module, from_onnx, from_pt2
from framepilot_app.graphs.fold import fold
from framepilot_app.graphs.program import Program, ProgramError
from framepilot_app.graphs.torch_engine import compile as compile_program
from framepilot_app.models.example import as_input, read_image, seeded_image
from framepilot_app.models.fit import input_misfit, output_misfit
from framepilot_app.models.folder import write_folder
from framepilot_app.models.model import Example, Model, ModelError
from framepilot_app.models.spec import PackSpec
from framepilot_app.models.verify import open_folder, open_model

PACKING_PREFIX: Final = ".packing-"
Progress = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Packed:
    """What packing gave: the model in the store, and whether it was there already, with the same digest."""

    model: Model
    existed: bool


def pack(
    source: str,
    spec: PackSpec,
    store: Path,
    *,
    trust: bool = False,
    example: Path | None = None,
    progress: Progress = lambda _: None,
) -> Packed:
    """Write `<store>/<model>/<version>/`.

    Args:
        source: a `.pt2` or `.onnx` file, or `package.module:factory` of a function that returns a torch module.
        spec: what the model is.
        store: the store's folder; it is made if it is not there.
        trust: take a `.pt2` that holds pickled content, which can execute anything when it is read.
        example: a picture for the example; without one, a seeded random image.
        progress: called with the name of each step as it begins.

    Raises:
        ModelError: the source cannot become a program, its outputs do not fit the task, the packed network differs from
            the original, or the version exists with other content.
    """
    image = read_image(example, spec.input) if example else seeded_image(spec.input)
    batch = as_input(image, spec.input)
    progress("export the graph")
    try:
        exported = load_source(source, batch, trust=trust)
    except ExportError as error:
        raise ModelError(source, str(error)) from error
    return pack_exported(exported, spec, store, batch, progress=progress)


def load_source(source: str, batch: torch.Tensor, *, trust: bool) -> Exported:
    """The program of a source as `pack` takes it; `batch` is an input that fits.

    Raises:
        ModelError: there is no such file or function.
        ExportError: it cannot become a program.
    """
    match Path(source).suffix:
        case ".pt2" | ".onnx" if not Path(source).is_file():
            raise ModelError(source, "there is no such file")
        case ".pt2":
            return from_pt2(Path(source), trust=trust)
        case ".onnx":
            return from_onnx(Path(source), (int(batch.shape[2]), int(batch.shape[3])))
        case _:
            return from_module(_module(source), batch)


def _module(source: str) -> torch.nn.Module:
    path, colon, name = source.partition(":")
    if not colon:
        raise ModelError(source, "give a .pt2 or .onnx file, or package.module:factory of a torch module")
    try:
        factory = getattr(importlib.import_module(path), name)
    except (ImportError, AttributeError) as error:
        raise ModelError(source, f"cannot be imported: {error}; is its folder in PYTHONPATH?") from error
    try:
        module = factory()
    except Exception as error:  # the factory is the user's code and may raise anything
        raise ModelError(source, f"raised {type(error).__name__}: {error}") from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(source, f"returns a {type(module).__name__}, not a torch.nn.Module")
    return module


def pack_exported(
    exported: Exported, spec: PackSpec, store: Path, batch: torch.Tensor, *, progress: Progress = lambda _: None
) -> Packed:
    """The same from a program: `batch`, 1 x 3 x height x width, becomes the example.

    Raises:
        ModelError: as for `pack`.
    """
    title = f"'{spec.name}' version '{spec.version}'"
    _check_fit(title, exported.program, spec)
    try:
        progress("fold")
        program, weights = fold(exported.program, exported.weights)
        progress("compile and compare with the original")
        expected = _compare(title, exported, program, weights, batch, spec)
        progress("write")
        return _write(store, spec, program, weights, Example(batch, expected))
    except (EngineError, ProgramError) as error:
        raise ModelError(title, f"cannot be compiled: {error}") from error
    except OSError as error:
        raise ModelError(title, f"cannot be written to {store}: {error}; check its space and permissions") from error


def _check_fit(title: str, program: Program, spec: PackSpec) -> None:
    taken = program.input
    misfit = input_misfit(spec.input, (1, taken.channels, taken.height, taken.width))
    if misfit:
        raise ModelError(title, f"{misfit}; correct the spec, or export the network at this size")


def _compare(
    title: str,
    exported: Exported,
    program: Program,
    weights: Mapping[str, torch.Tensor],
    batch: torch.Tensor,
    spec: PackSpec,
) -> Outputs:
    """The original's outputs for `batch`, if those of the compiled program are the same within the tolerance."""
    compiled = _finish(compile_program(program, weights, torch.device("cpu")))
    several = torch.cat([batch, batch.flip(3), batch.roll(1, 2)])
    for inputs in (several, batch):  # the example last: its outputs are what is returned
        expected = aten.run(exported.program, exported.weights, inputs)
        misfit = output_misfit(spec.output, spec.input, len(inputs), [tuple(output.shape) for output in expected])
        if misfit:
            raise ModelError(title, f"{misfit}; correct the output in the spec, or pack another network")
        found = compiled(inputs)
        error = max(float((ours - theirs).abs().max()) for ours, theirs in zip(found, expected, strict=True))
        error = max(error, exported.max_abs_error)
        if not error <= spec.tolerance:
            raise ModelError(
                title,
                f"the packed network differs from the original by {error:.2g}, allowed is {spec.tolerance:.2g}; "
                "if that is good enough, raise `tolerance` in the spec",
            )
    return expected


def _finish(steps: Generator[None, None, Result]) -> Result:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def _write(
    store: Path, spec: PackSpec, program: Program, weights: Mapping[str, torch.Tensor], example: Example
) -> Packed:
    """Make the folder under another name and rename it; a version that exists stays as it is."""
    target = store / spec.name / spec.version
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PACKING_PREFIX, dir=target.parent) as packing:
        folder = Path(packing) / spec.version
        write_folder(folder, spec, program, weights, example)
        packed = open_folder(folder)
        exists = target.exists()
        if not exists:
            folder.rename(target)
    found = open_model(target)
    if found.sha256 != packed.sha256:
        raise ModelError(
            target,
            f"exists with sha256 {found.sha256}, the new content has {packed.sha256}; a version never changes: "
            "choose another version",
        )
    return Packed(found, exists)
