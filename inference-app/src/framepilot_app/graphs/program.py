"""A program: a model's graph as data. `program.json` holds it, and reading it can execute nothing.

It is a flat list of ATen operators in the order in which they run. An argument is a number, a list, or a reference to
an earlier node or to a parameter of `weights.safetensors`, so one pass over the list checks everything. The batch
dimension is the first one and is never written down: a shape that has it says -1 there, so a program runs at any N >=
1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import pydantic_core

from framepilot_app.graphs.operators import ALLOWED, BATCH_NORM, GET_ITEM, SPLITS

SCHEMA_VERSION: Final = 1
MAX_BYTES: Final = 8 << 20
MAX_NODES: Final = 5_000
_MAX_NAME: Final = 256
_MAX_DEPTH: Final = 3


class ProgramError(ValueError):
    """A program that cannot be used: what is wrong, where (a node's name or a part of the document), what to do."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(f"{where}: {what}; {remedy}")


@dataclass(frozen=True, slots=True)
class NodeRef:
    """The output of an earlier node, or the input image batch."""

    name: str


@dataclass(frozen=True, slots=True)
class ParameterRef:
    """A tensor of `weights.safetensors`."""

    name: str


@dataclass(frozen=True, slots=True)
class DType:
    """A tensor type by torch's name, e.g. `float32`."""

    name: str


@dataclass(frozen=True, slots=True)
class MemoryFormat:
    """A memory format by torch's name, e.g. `channels_last`."""

    name: str


Argument = NodeRef | ParameterRef | DType | MemoryFormat | bool | int | float | str | None | tuple["Argument", ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator, e.g. `aten.relu.default`, and its arguments as in ATen's schema of it.

    `shape` is its output's, -1 for the batch, as it was exported; empty if unknown. It guides engines in how they lay
    out memory, and people; no engine relies on it.
    """

    name: str
    op: str
    args: tuple[Argument, ...] = ()
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    shape: tuple[int, ...] = ()

    def inputs(self) -> Iterator[str]:
        """Names of the nodes whose outputs it takes, once for each use."""
        return iter(_names(NodeRef, (*self.args, *self.kwargs.values())))

    def parameters(self) -> Iterator[str]:
        """Names of the parameters that it takes, once for each use."""
        return iter(_names(ParameterRef, (*self.args, *self.kwargs.values())))


def _names(kind: type[NodeRef | ParameterRef], arguments: tuple[Argument, ...]) -> list[str]:
    # All of a program's arguments are looked through many times while it is loaded: no generators here.
    found: list[str] = []
    for argument in arguments:
        if isinstance(argument, tuple):
            found += _names(kind, argument)
        elif isinstance(argument, kind):
            found.append(argument.name)
    return found


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The one input: N x channels x height x width, float32."""

    name: str
    channels: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As shapes are written, with -1 for the batch."""
        return (-1, self.channels, self.height, self.width)


@dataclass(frozen=True, slots=True)
class Program:
    """A checked program: whoever holds one knows that every operator is allowed and every reference resolves.

    Raises:
        ProgramError: an operator that is not allowed, a reference to something unknown or later, a name used twice, too
            many nodes.
    """

    input: ImageInput
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    parameters: tuple[str, ...]

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def parse(cls, data: bytes) -> Program:
        """Read `program.json`.

        Raises:
            ProgramError: it is too large, not JSON, of another schema version or shape, or not sound.
        """
        if len(data) > MAX_BYTES:
            raise ProgramError(f"{len(data)} bytes, more than {MAX_BYTES}", "program", "pack a smaller model")
        try:
            document = pydantic_core.from_json(data)
        except ValueError as error:
            raise ProgramError(f"not JSON ({error})", "program", _PACK_AGAIN) from error
        fields = _object(document, "program", {"schemaVersion", "input", "parameters", "nodes", "outputs"})
        if fields["schemaVersion"] != SCHEMA_VERSION:
            raise ProgramError(
                f"schemaVersion is {fields['schemaVersion']!r}, this app reads {SCHEMA_VERSION}",
                "program",
                "pack the model again with a matching `framepilot model pack`",
            )
        nodes = _array(fields["nodes"], "nodes")
        if len(nodes) > MAX_NODES:
            raise _too_many(len(nodes))
        return cls(
            input=_image_input(fields["input"]),
            nodes=tuple(read_node(value, position) for position, value in enumerate(nodes)),
            outputs=tuple(_name(value, "outputs") for value in _array(fields["outputs"], "outputs")),
            parameters=tuple(_name(value, "parameters") for value in _array(fields["parameters"], "parameters")),
        )

    def to_json(self) -> bytes:
        """The content of `program.json`: one node a line, so that a difference of two programs can be read."""
        nodes = ",\n  ".join(pydantic_core.to_json(node_document(node)).decode() for node in self.nodes)
        head = pydantic_core.to_json(
            {
                "name": self.input.name,
                "channels": self.input.channels,
                "height": self.input.height,
                "width": self.input.width,
            }
        ).decode()
        parameters = pydantic_core.to_json(self.parameters).decode()
        outputs = pydantic_core.to_json(self.outputs).decode()
        return (
            f'{{"schemaVersion": {SCHEMA_VERSION},\n "input": {head},\n "parameters": {parameters},\n'
            f' "nodes": [\n  {nodes}\n ],\n "outputs": {outputs}}}\n'
        ).encode()


_PACK_AGAIN: Final = "the file is damaged or was not written by `framepilot model pack`: pack the model again"


def _check(program: Program) -> None:
    if len(program.nodes) > MAX_NODES:
        raise _too_many(len(program.nodes))
    if min(program.input.channels, program.input.height, program.input.width) < 1:
        raise ProgramError("channels, height and width must be at least 1", "input", _PACK_AGAIN)
    parameters = set(program.parameters)
    if len(parameters) != len(program.parameters):
        raise ProgramError("a parameter is listed twice", "parameters", _PACK_AGAIN)
    lists = {node.name for node in program.nodes if node.op in SPLITS}
    names = {node.name for node in program.nodes}
    defined = {program.input.name}
    for node in program.nodes:
        _check_node(node, defined, names, lists, parameters)
        defined.add(node.name)
    if not program.outputs:
        raise ProgramError("there is no output", "outputs", _PACK_AGAIN)
    for output in program.outputs:
        if output not in defined or output in lists:
            raise ProgramError(f"'{output}' is not a tensor of this program", "outputs", _PACK_AGAIN)


def _check_node(node: Node, defined: set[str], names: set[str], lists: set[str], parameters: set[str]) -> None:
    if node.op not in ALLOWED:
        raise ProgramError(
            f"the operator '{node.op}' is not allowed", node.name, "export the model with the operators of CNNs only"
        )
    if node.op == BATCH_NORM and (len(node.args) < 6 or node.args[5] is not False):
        raise ProgramError("a batch norm in training mode is not allowed", node.name, "export the model in eval mode")
    if node.name in defined:
        raise ProgramError("the name is used twice", node.name, _PACK_AGAIN)
    for source in node.inputs():
        if source not in defined:
            raise ProgramError(_undefined(source, names), node.name, _PACK_AGAIN)
        if (source in lists) != (node.op == GET_ITEM):
            raise ProgramError(f"'{source}' is a list, or getitem takes what is none", node.name, _PACK_AGAIN)
    for parameter in node.parameters():
        if parameter not in parameters:
            raise ProgramError(f"there is no parameter '{parameter}'", node.name, _PACK_AGAIN)


def _undefined(source: str, names: set[str]) -> str:
    return f"'{source}' is used before it is defined" if source in names else f"there is no node '{source}'"


def _too_many(count: int) -> ProgramError:
    return ProgramError(f"{count} nodes, more than {MAX_NODES}", "nodes", "pack a smaller model")


def _object(value: object, where: str, keys: set[str]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ProgramError(f"expected an object, got {_shown(value)}", where, _PACK_AGAIN)
    if value.keys() != keys:
        wrong = sorted(value.keys() ^ keys)
        raise ProgramError(f"missing or unknown fields: {', '.join(map(_shown, wrong))}", where, _PACK_AGAIN)
    return value


def _array(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise ProgramError(f"expected a list, got {_shown(value)}", where, _PACK_AGAIN)
    return value


def _name(value: object, where: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME:
        raise ProgramError(f"expected a name of 1 to {_MAX_NAME} characters, got {_shown(value)}", where, _PACK_AGAIN)
    return value


def _image_input(value: object) -> ImageInput:
    fields = _object(value, "input", {"name", "channels", "height", "width"})
    return ImageInput(
        _name(fields["name"], "input"),
        _integer(fields["channels"], "input"),
        _integer(fields["height"], "input"),
        _integer(fields["width"], "input"),
    )


def _integer(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProgramError(f"expected a whole number, got {_shown(value)}", where, _PACK_AGAIN)
    return value


def read_node(value: object, position: int) -> Node:
    """The node that a document has at this place.

    Raises:
        ProgramError: it is none.
    """
    where = f"nodes[{position}]"
    fields = _object(value, where, {"name", "op", "args", "kwargs", "shape"})
    name = _name(fields["name"], where)
    kwargs = fields["kwargs"]
    if not isinstance(kwargs, dict):
        raise ProgramError(f"kwargs: expected an object, got {_shown(kwargs)}", name, _PACK_AGAIN)
    return Node(
        name,
        _name(fields["op"], name),
        tuple(_argument(argument, name) for argument in _array(fields["args"], name)),
        {_name(key, name): _argument(argument, name) for key, argument in kwargs.items()},
        tuple(_integer(size, name) for size in _array(fields["shape"], name)),
    )


def _argument(value: object, where: str, depth: int = 0) -> Argument:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list) and depth < _MAX_DEPTH:
        return tuple(_argument(item, where, depth + 1) for item in value)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, content),) = value.items()
        if isinstance(content, str):
            match kind:
                case "node":
                    return NodeRef(content)
                case "parameter":
                    return ParameterRef(content)
                case "dtype":
                    return DType(content)
                case "memoryFormat":
                    return MemoryFormat(content)
                case "number" if content in {"inf", "-inf"}:
                    return float(content)
    raise ProgramError(f"{_shown(value)} is not an argument", where, _PACK_AGAIN)


def node_document(node: Node) -> dict[str, object]:
    """A node as `read_node` takes it."""
    return {
        "name": node.name,
        "op": node.op,
        "args": [_argument_document(argument) for argument in node.args],
        "kwargs": {key: _argument_document(argument) for key, argument in node.kwargs.items()},
        "shape": node.shape,
    }


def _argument_document(argument: Argument) -> object:
    match argument:
        case NodeRef(name):
            return {"node": name}
        case ParameterRef(name):
            return {"parameter": name}
        case DType(name):
            return {"dtype": name}
        case MemoryFormat(name):
            return {"memoryFormat": name}
        case tuple():
            return [_argument_document(item) for item in argument]
        case float() if math.isinf(argument):
            return {"number": str(argument)}
        case _:
            return argument


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
