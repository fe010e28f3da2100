"""Models with a backbone in common: a model whose last layers are exchanged, with a linear layer behind them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from framepilot_app.graphs import aten
from framepilot_app.graphs.program import Node, NodeRef, ParameterRef, Program
from framepilot_app.models.folder import write_folder
from framepilot_app.models.model import Example, Model
from framepilot_app.models.spec import ClassificationOutput
from framepilot_app.models.verify import open_model


def with_another_end(model: Model, store: Path, name: str, exchanged: int, seed: int, labels: int) -> Model:
    """Write `<store>/<name>/1`, and open it.

    The parameters of its last `exchanged` nodes, and of the linear layer to `labels` that it has behind them, are its
    own, by a seeded generator; all others are the model's.
    """
    generator = torch.Generator().manual_seed(seed)
    program, weights = model.program(), load_file(model.weights)
    for node in program.nodes[len(program.nodes) - exchanged :]:
        for parameter in node.parameters():
            weights[parameter] = torch.randn(weights[parameter].shape, generator=generator) / 50
    size = program.nodes[-1].shape[-1]
    weights["head.weight"] = torch.randn(labels, size, generator=generator) / size
    weights["head.bias"] = torch.randn(labels, generator=generator)
    features, parameters = NodeRef(program.outputs[0]), (ParameterRef("head.weight"), ParameterRef("head.bias"))
    head = Node("head", "aten.linear.default", (features, *parameters), {}, (-1, labels))
    program = Program(program.input, (*program.nodes, head), ("head",), tuple(weights))
    spec = model.spec.model_copy(
        update={
            "name": name,
            "version": "1",
            "output": ClassificationOutput(labels=tuple(f"label {index}" for index in range(labels))),
        }
    )
    image = torch.rand(1, 3, spec.input.height, spec.input.width, generator=generator)
    folder = store / name / "1"
    write_folder(folder, spec, program, weights, Example(image, aten.run(program, weights, image)))
    return open_model(folder)
