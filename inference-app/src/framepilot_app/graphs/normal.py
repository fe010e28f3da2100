"""The normal form of a program: what changes no bit of any value is left out, so that only what matters differs.

What a loader may do is here: nodes that give back what they take, and nodes that nobody needs. What rounds otherwise
(`fold.py`) was done when the model was packed, with its example to check it. Constants are computed once by the engine
(`preparation.py`), from the parameters as it lays them out, so that they are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from framepilot_app.graphs.operators import GET_ITEM, IDENTITIES, SHAPE, SPLITS
from framepilot_app.graphs.parameter import TensorType
from framepilot_app.graphs.program import Argument, DType, MemoryFormat, Node, NodeRef, Program

_FLOAT: Final = DType("float32")
_AS_IT_IS: Final = MemoryFormat("preserve_format")
_ALIASES: Final = frozenset({"aten.alias.default", "aten.detach.default"})
_CAST: Final = "aten._to_copy.default"
_MAYBE_STRIDED: Final = SHAPE | SPLITS | IDENTITIES | {GET_ITEM}
"""What may give a view with gaps; a copy of it has none, and may be added up in another order."""
_END: Final = 1 << 62
"""A slice up to here or beyond is one to the end: no dimension is that large."""


def normalise(program: Program, types: Mapping[str, TensorType]) -> Program:
    """The same function to the bit, with fewer nodes; the parameters stay as they are listed. `types` are theirs."""
    floats = {program.input.name}
    names: dict[str, str] = {}
    kept: dict[str, Node] = {}
    for original in program.nodes:
        node = with_inputs(original, names)
        if _is_float(node, floats, types):
            floats.add(node.name)
        if _gives_back(node, kept, floats):
            names[node.name] = next(node.inputs())
        else:
            kept[node.name] = node
    outputs = tuple(names.get(name, name) for name in program.outputs)
    return replace(program, nodes=alive(kept.values(), outputs), outputs=outputs)


def alive(nodes: Iterable[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    """Those that an output needs."""
    needed = set(outputs)
    kept: list[Node] = []
    for node in reversed(tuple(nodes)):
        if node.name in needed:
            needed.update(node.inputs())
            kept.append(node)
    return tuple(reversed(kept))


def with_inputs(node: Node, names: Mapping[str, str]) -> Node:
    """With other names for what it takes."""
    if names.keys().isdisjoint(node.inputs()):
        return node

    def rename(argument: Argument) -> Argument:
        match argument:
            case NodeRef(name):
                return NodeRef(names.get(name, name))
            case tuple():
                return tuple(rename(item) for item in argument)
            case _:
                return argument

    return replace(
        node,
        args=tuple(rename(argument) for argument in node.args),
        kwargs={key: rename(argument) for key, argument in node.kwargs.items()},
    )


def _is_float(node: Node, floats: set[str], types: Mapping[str, TensorType]) -> bool:
    """Whether its value is certainly float32: all allowed operators give what they take, unless told a type."""
    told = [argument for argument in (*node.args, *node.kwargs.values()) if isinstance(argument, DType)]
    taken = [name in floats for name in node.inputs()] + [types[name].dtype == "float32" for name in node.parameters()]
    return node.op not in SPLITS and all(each == _FLOAT for each in told) and (all(taken) or _FLOAT in told)


def _gives_back(node: Node, nodes: Mapping[str, Node], floats: set[str]) -> bool:
    """Whether it gives the tensor that it takes, in the same layout."""
    match node.args:
        case (NodeRef(source), *rest):
            taken = nodes.get(source)
        case _:
            return False
    shape = () if taken is None else taken.shape
    match node.op, rest:
        case op, [] if op in _ALIASES:
            return True
        case op, [] if op in IDENTITIES or (op == _CAST and source in floats):
            return _is_plain_copy(node) and (taken is None or taken.op not in _MAYBE_STRIDED)
        case "aten.reshape.default", [tuple(sizes)]:
            return sizes == shape and shape.count(-1) == 1
        case "aten.permute.default", [tuple(order)]:
            return order == tuple(range(len(order)))
        case "aten.expand.default", [tuple(sizes)]:
            return len(sizes) == len(shape) and all(size == -1 for size in sizes)
        case "aten.slice.Tensor", [int(), 0 | None, int(end)] | [int(), 0 | None, int(end), 1]:
            return end >= _END
        case _:
            return False


def _is_plain_copy(node: Node) -> bool:
    """Neither to another type nor to another layout."""
    told = {key: value for key, value in node.kwargs.items() if value is not None}
    told.pop("non_blocking", None)
    return told.pop("dtype", _FLOAT) == _FLOAT and told.pop("memory_format", _AS_IT_IS) == _AS_IT_IS and not told
