"""A program as an ONNX model, for engines that read one. `python -m framepilot_app.graphs.onnx_writer` writes the file.

It is a process of its own, at the lowest priority: writing is Python, and in the serving process it would hold the
interpreter for long. The way back, from anybody's ONNX to a program, is `framepilot model pack`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors import SafetensorError
from safetensors.numpy import load_file

from framepilot_app.graphs.onnx_node import Arguments, Array, NotInOnnx, Write
from framepilot_app.graphs.onnx_operators import OPERATORS
from framepilot_app.graphs.plain_stage import PlainStage
from framepilot_app.graphs.program import Argument, NodeRef, ParameterRef, Program, ProgramError
from framepilot_app.graphs.program_form import PARTIAL, UNFIT

OPSET: Final = 20
IR_VERSION: Final = 10
"""Those of ONNX 1.16 (2024), which the engines have known for long."""

BATCH: Final = "batch"


def to_onnx(program: Program, weights: dict[str, Array]) -> onnx.ModelProto:
    """The model: one input, N x C x H x W with any N, and the program's outputs.

    Raises:
        NotInOnnx: a node that has no form in ONNX; it is named.
    """
    return stage_to_onnx(PlainStage.whole(program), weights)


def stage_to_onnx(stage: PlainStage, weights: dict[str, Array]) -> onnx.ModelProto:
    """The model: inputs and outputs in the stage's order, all with the batch first; `weights` as the file has them.

    Raises:
        NotInOnnx: a node that has no form in ONNX, which is named, or an input of unknown shape.
    """
    return _Writer(stage, weights).model()


class _Writer:
    """One pass over a stage; values have the names of the nodes that give them."""

    def __init__(self, stage: PlainStage, weights: dict[str, Array]) -> None:
        self._stage = stage
        self._weights = weights
        self._values = {name: f"in.{position}" for position, name in enumerate(stage.inputs)}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def model(self) -> onnx.ModelProto:
        for node in self._stage.nodes:
            try:
                self._values[node.name] = _writing(node.op)(self, Arguments(node))
            except NotInOnnx as error:
                raise NotInOnnx(f"{node.name}: {node.op} cannot be written as ONNX: {error}") from error
        for position, name in enumerate(self._stage.outputs):
            # One node may be several outputs, or the input itself.
            self._nodes.append(helper.make_node("Identity", [self._values[name]], [f"out.{position}"]))
        graph = helper.make_graph(
            self._nodes,
            "program",
            [_taken(self._values[name], shape) for name, shape in self._stage.inputs.items()],
            [
                helper.make_tensor_value_info(f"out.{position}", TensorProto.FLOAT, None)
                for position in range(len(self._stage.outputs))
            ],
            list(self._constants.values()),
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def value(self, argument: Argument) -> str:
        match argument:
            case NodeRef(name):
                return self._values[name]
            case ParameterRef(name):
                return self._keep(f"w.{name}", self.stored(argument))
            case bool() | None | str():
                raise NotInOnnx(f"{argument!r} is no tensor")
            case int() | float():
                return self.constant(np.array(argument, np.float32))
            case _:
                raise NotInOnnx(f"{argument!r} is no tensor")

    def constant(self, array: Array) -> str:
        return self._keep(f"c.{len(self._constants)}", array)

    def stored(self, argument: Argument) -> Array:
        if not isinstance(argument, ParameterRef):
            raise NotInOnnx("it takes a computed tensor where ONNX wants a stored one")
        array = self._weights[self._stage.parameters[argument.name]]
        if array.dtype != np.float32:
            raise NotInOnnx(f"'{argument.name}' is {array.dtype}")
        return array

    def add(self, op: str, inputs: list[str], **attributes: object) -> str:
        name = f"v.{len(self._nodes)}"
        node = helper.make_node(op, inputs, [name])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return name

    def _keep(self, name: str, array: Array) -> str:
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name


def _taken(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    if not shape:
        raise NotInOnnx("the shape of what it takes is not known")
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape[1:]])


def _writing(op: str) -> Write:
    if op not in OPERATORS:
        raise NotInOnnx("no ONNX is known for it")
    return OPERATORS[op]


def main(program_file: Path, weights_file: Path, target: Path) -> int:
    """Write the model of a program."""
    return write(lambda: to_onnx(Program.parse(program_file.read_bytes()), load_file(weights_file)), target)


def write(model: Callable[[], onnx.ModelProto], target: Path) -> int:
    """Write a model, by rename: a half one is never seen; the exit status."""
    try:
        content = model().SerializeToString()
    except (NotInOnnx, ProgramError, SafetensorError) as error:
        sys.stdout.write(str(error))
        return UNFIT
    partial = target.with_suffix(PARTIAL)
    partial.write_bytes(content)
    partial.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
