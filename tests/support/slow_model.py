"""A classifier like the tiny one, of 3.7 thousand million operations an item: a CPU takes a few dozen a second."""

from __future__ import annotations

from pathlib import Path

import torch

from framepilot_app.graphs import aten
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, ParameterRef, Program
from framepilot_app.models.folder import write_folder
from framepilot_app.models.model import Example
from support.tiny_model import TINY_SPEC

SIDE = 128
CHANNELS = 64
LAYERS = 4
ONE, NONE = (1, 1), (0, 0)


def _convolution(layer: int) -> Node:
    before = NodeRef(f"layer{layer - 1}" if layer else "image")
    arguments = (before, ParameterRef(f"kernel{layer}"), None, ONE, ONE, ONE, False, NONE, 1)
    return Node(f"layer{layer}", "aten.convolution.default", arguments)


def write_slow_model(store: Path) -> Path:
    """Write `<store>/slow/1`."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        f"kernel{layer}": torch.randn(CHANNELS, CHANNELS if layer else 3, 3, 3, generator=generator) / 24
        for layer in range(LAYERS)
    }
    weights["weight"], weights["bias"] = torch.randn(2, CHANNELS, generator=generator), torch.zeros(2)
    program = Program(
        input=ImageInput("image", 3, SIDE, SIDE),
        nodes=(
            *(_convolution(layer) for layer in range(LAYERS)),
            Node("mean", "aten.mean.dim", (NodeRef(f"layer{LAYERS - 1}"), (2, 3))),
            Node("scores", "aten.linear.default", (NodeRef("mean"), ParameterRef("weight"), ParameterRef("bias"))),
        ),
        outputs=("scores",),
        parameters=tuple(weights),
    )
    image = torch.rand(1, 3, SIDE, SIDE, generator=generator)
    spec = TINY_SPEC.model_copy(
        update={"name": "slow", "input": TINY_SPEC.input.model_copy(update={"width": SIDE, "height": SIDE})}
    )
    folder = store / "slow" / "1"
    write_folder(folder, spec, program, weights, Example(image, aten.run(program, weights, image)))
    return folder
