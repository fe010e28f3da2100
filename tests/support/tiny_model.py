"""A model of two operators, written in milliseconds: mean colour of an 8 x 8 image, then a linear layer, two labels.

And one that answers the same, but after layers that keep a CPU busy for some milliseconds.
"""

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


def write_slow_model(store: Path, layers: int = 8, width: int = 2048) -> Path:
    """Write `<store>/slow/1`: the mean colour passes through square layers that change nothing."""
    names = [f"layer{number}" for number in range(layers)]
    into, out_of = torch.zeros(width, 3), torch.zeros(2, width)
    into[:3], out_of[:, :3] = torch.eye(3), tiny_weights()["weight"]
    weights = {"into": into, "weight": out_of, "bias": tiny_weights()["bias"]}
    # Different ones, as equal parameters are in memory, and in its caches, once.
    weights |= {name: torch.eye(width) + torch.eye(width).roll(5 + at, 0) for at, name in enumerate(names)}
    nodes = [
        Node("colour", "aten.mean.dim", (NodeRef("image"), (2, 3))),
        Node("wide", "aten.linear.default", (NodeRef("colour"), ParameterRef("into"))),
    ]
    for name in names:
        nodes.append(Node(f"{name}_out", "aten.linear.default", (NodeRef(nodes[-1].name), ParameterRef(name))))
    last = (NodeRef(nodes[-1].name), ParameterRef("weight"), ParameterRef("bias"))
    nodes.append(Node("scores", "aten.linear.default", last))
    program = Program(TINY_PROGRAM.input, tuple(nodes), ("scores",), tuple(weights))
    image = torch.linspace(0, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)
    folder = store / "slow" / "1"
    spec = TINY_SPEC.model_copy(update={"name": "slow"})
    write_folder(folder, spec, program, weights, Example(image, aten.run(program, weights, image)))
    return folder
