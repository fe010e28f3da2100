"""Whether the outputs of a network fit the task that its `model.yaml` declares. Pure: shapes in, a sentence out.

Shapes are those for one batch of `batch` items, in the order in which the program returns its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from framepilot_app.models.spec import ClassificationOutput, DetectionOutput, EmbeddingOutput, InputSpec, OutputSpec

Shape = tuple[int, ...]

CENTERFACE_STRIDE: Final = 4
CENTERFACE_CHANNELS: Final = (("heat map", 1), ("scale", 2), ("offset", 2), ("landmarks", 10))


def input_misfit(declared: InputSpec, shape: Shape) -> str | None:
    """What is wrong with an input of this shape; None if it is N x 3 x height x width."""
    wanted = (3, declared.height, declared.width)
    if len(shape) == 4 and shape[0] >= 1 and shape[1:] == wanted:
        return None
    return f"the input is {_show(shape)}, but the spec says {_show(('N', *wanted))}"


def output_misfit(declared: OutputSpec, declared_input: InputSpec, batch: int, shapes: Sequence[Shape]) -> str | None:
    """What is wrong with outputs of these shapes for a batch of that many items; None if they fit the task."""
    wanted = _wanted(declared, declared_input, batch)
    if len(shapes) != len(wanted):
        return f"{_task(declared)} takes {len(wanted)} output(s), the network has {len(shapes)}"
    for (name, shape), found in zip(wanted, shapes, strict=True):
        if found != shape:
            return f"{_task(declared)} takes {name} of {_show(shape)}, the network gives {_show(found)}"
    return None


def _wanted(declared: OutputSpec, declared_input: InputSpec, batch: int) -> list[tuple[str, Shape]]:
    match declared:
        case ClassificationOutput():
            return [("scores", (batch, len(declared.labels)))]
        case EmbeddingOutput():
            return [("vectors", (batch, declared.size))]
        case DetectionOutput():
            cells = (declared_input.height // CENTERFACE_STRIDE, declared_input.width // CENTERFACE_STRIDE)
            return [(name, (batch, channels, *cells)) for name, channels in CENTERFACE_CHANNELS]


def _task(declared: OutputSpec) -> str:
    match declared:
        case ClassificationOutput():
            return f"a classification with {len(declared.labels)} labels"
        case EmbeddingOutput():
            return f"an embedding of size {declared.size}"
        case DetectionOutput():
            return f"a detection with decoder '{declared.decoder}'"


def _show(shape: Sequence[int | str]) -> str:
    return " x ".join(str(side) for side in shape) or "a scalar"
