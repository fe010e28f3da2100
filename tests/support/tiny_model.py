"""A model of two operators, written in milliseconds: mean colour of an 8 x 8 image, then a linear layer, two labels."""

from __future__ import annotations

from pathlib import Path

import torch

from framepilot_app.graphs import aten
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, ParameterRef, Program
from framepilot_app.models.folder import write_folder
from framepilot_app.models.model import Example
from framepilot_app.models.spec import ClassificationOutput, InputSpec, PackSpec

TINY_SPEC = PackSpec(
    name="tiny",
    version="1",
    licence="Apache-2.0",
    input=InputSpec(width=8, height=8, scale=(1 / 255, 1 / 255, 1 / 255)),
    output=ClassificationOutput(labels=("dark", "light")),
)

TINY_PROGRAM = Program(
    input=ImageInput("image", 3, 8, 8),
    nodes=(
        Node("colour", "aten.mean.dim", (NodeRef("image"), (2, 3))),
        Node("scores", "aten.linear.default", (NodeRef("colour"), ParameterRef("weight"), ParameterRef("bias"))),
    ),
    outputs=("scores",),
    parameters=("weight", "bias"),
)


def tiny_weights(gain: float = 1.0) -> dict[str, torch.Tensor]:
    return {"weight": gain * torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]), "bias": torch.tensor([1.5, -1.5])}


def tiny_example(program: Program = TINY_PROGRAM, gain: float = 1.0) -> Example:
    image = torch.linspace(0, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)
    return Example(image, aten.run(program, tiny_weights(gain), image))


def write_tiny_model(store: Path, version: str = "1", gain: float = 1.0, served_gain: float | None = None) -> Path:
    """Write `<store>/tiny/<version>`; versions of different gain have different digests, outputs and nothing else.

    With a `served_gain` the weights are not those that the example was computed with.
    """
    folder = store / "tiny" / version
    spec = TINY_SPEC.model_copy(update={"version": version})
    weights = tiny_weights(gain if served_gain is None else served_gain)
    write_folder(folder, spec, TINY_PROGRAM, weights, tiny_example(gain=gain))
    return folder
