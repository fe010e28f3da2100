"""A stage as plain data: its nodes as they were before they were fused, in a document that another process can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pydantic_core

from framepilot_app.graphs.fusion import unfused
from framepilot_app.graphs.program import Node, Program, node_document, read_node
from framepilot_app.graphs.stage import Stage


@dataclass(frozen=True, slots=True)
class PlainStage:
    """Nodes in an order in which they can run.

    `inputs` are names and shapes, as a stage has them; `parameters` what the file calls those that the nodes name.
    """

    inputs: Mapping[str, tuple[int, ...]]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, stage: Stage, names: Mapping[str, str]) -> PlainStage:
        """What a stage computes, operator by operator; `names` are those of a file that has its parameters."""
        nodes = tuple(node for kernel in stage.kernels for node in unfused(kernel))
        return cls(stage.inputs, nodes, stage.outputs, {name: names[name] for name in stage.parameters()})

    @classmethod
    def whole(cls, program: Program) -> PlainStage:
        """All of a program."""
        image = program.input
        parameters = {name: name for name in program.parameters}
        return cls({image.name: image.shape}, program.nodes, program.outputs, parameters)

    @classmethod
    def parse(cls, data: bytes) -> PlainStage:
        """Read what `to_json` wrote.

        Raises:
            ProgramError: a node is none.
        """
        document = pydantic_core.from_json(data)
        return cls(
            {name: tuple(shape) for name, shape in document["inputs"].items()},
            tuple(read_node(value, position) for position, value in enumerate(document["nodes"])),
            tuple(document["outputs"]),
            document["parameters"],
        )

    def to_json(self) -> bytes:
        """The document."""
        return pydantic_core.to_json(
            {
                "inputs": dict(self.inputs),
                "nodes": [node_document(node) for node in self.nodes],
                "outputs": self.outputs,
                "parameters": dict(self.parameters),
            }
        )
