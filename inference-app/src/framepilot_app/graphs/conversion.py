"""From what `torch.export` gives to a program, at pack time: every operator in terms of the allow-list.

What is outside the allow-list is decomposed by torch into what is in it. Nothing but shapes may depend on the batch,
and in a shape it is written -1.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import fx
from torch.export import ExportedProgram, default_decompositions
from torch.export.graph_signature import InputKind, OutputKind

from framepilot_app.graphs.operators import ALLOWED, GET_ITEM
from framepilot_app.graphs.program import (
    Argument,
    DType,
    ImageInput,
    MemoryFormat,
    Node,
    NodeRef,
    ParameterRef,
    Program,
    ProgramError,
)


class ExportError(ValueError):
    """A model that cannot become a program: what happened, where (file, module or node), what to do."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{where}: {what}; {remedy}")


def from_exported(exported: ExportedProgram) -> tuple[Program, dict[str, torch.Tensor]]:
    """The program and parameters of an exported one, in terms of allowed operators.

    Raises:
        ExportError: an operator that is not allowed, or a shape that depends on the batch in more than one dimension.
    """
    decompositions = default_decompositions()
    for op in list(decompositions):
        if str(op) in ALLOWED:
            del decompositions[op]
    return _Conversion(exported.run_decompositions(decompositions)).result()


class _Conversion:
    """One pass over an exported graph."""

    def __init__(self, exported: ExportedProgram) -> None:
        self._graph: fx.Graph = exported.graph
        self._signature = exported.graph_signature
        self._tensors: dict[str, torch.Tensor] = {**exported.state_dict, **exported.constants}
        self._arguments: dict[str, Argument] = {}
        self._weights: dict[str, torch.Tensor] = {}
        self._nodes: list[Node] = []

    def result(self) -> tuple[Program, dict[str, torch.Tensor]]:
        image = self._inputs()
        self._graph.eliminate_dead_code()
        for node in self._graph.nodes:
            if node.op == "call_function":
                self._operator(node)
        outputs = [
            self._output(spec.arg.name) for spec in self._signature.output_specs if spec.kind is OutputKind.USER_OUTPUT
        ]
        used = {name for node in self._nodes for name in node.parameters()}
        weights = {name: tensor for name, tensor in self._weights.items() if name in used}
        try:
            return Program(image, tuple(self._nodes), tuple(outputs), tuple(weights)), weights
        except ProgramError as error:
            raise ExportError(error.what, error.where, error.remedy) from error

    def _inputs(self) -> ImageInput:
        values = {node.name: node.meta["val"] for node in self._graph.nodes if node.op == "placeholder"}
        image: ImageInput | None = None
        for spec in self._signature.input_specs:
            name = spec.arg.name
            if spec.kind is InputKind.USER_INPUT:
                shape = tuple(values[name].shape)
                if image is not None or len(shape) != 4 or not all(isinstance(size, int) for size in shape[1:]):
                    raise ExportError("takes something else than one N x C x H x W batch", name, "wrap it in a module")
                if isinstance(shape[0], int):
                    raise ExportError(f"its batch is fixed at {shape[0]}", name, "export it with a dynamic batch")
                image = ImageInput(name, shape[1], shape[2], shape[3])
                self._arguments[name] = NodeRef(name)
            elif spec.target is not None and spec.kind in _STORED:
                self._weights[spec.target] = self._tensors[spec.target].detach().clone().contiguous()
                self._arguments[name] = ParameterRef(spec.target)
            else:
                raise ExportError(f"takes a {spec.kind.name.lower()}", name, "let the module take tensors only")
        if image is None:
            raise ExportError("takes no input", "module", "let it take one N x C x H x W batch")
        return image

    def _operator(self, node: fx.Node) -> None:
        op = str(node.target)
        if node.target is operator.getitem:
            self._getitem(node)
        elif _is_of_batch(node) or op in _FIRST_ONLY or op in _CHECKS:
            return
        elif op in _REWRITTEN:
            rewritten, arguments = _REWRITTEN[op]
            self._add(node, rewritten, arguments(node.args), node.kwargs)
        elif op in _SHAPED or op == "aten.expand.default":
            self._reshaped(node, _SHAPED.get(op, op))
        elif op == "aten._to_copy.default" and _dtype(node) == _dtype(node.all_input_nodes[0]):
            self._arguments[node.name] = self._arguments[node.all_input_nodes[0].name]
        else:
            self._add(node, op, node.args, node.kwargs)

    def _getitem(self, node: fx.Node) -> None:
        source, index = node.args
        if not isinstance(source, fx.Node) or str(source.target) not in _FIRST_ONLY:
            self._add(node, GET_ITEM, node.args, {})
            return
        if index != 0:
            raise ExportError(f"uses output {index} of {source.target}", _place(node), "let it use the first only")
        op, arguments = _FIRST_ONLY[str(source.target)]
        self._add(node, op, arguments(source.args), {})

    def _reshaped(self, node: fx.Node, op: str) -> None:
        """A reshape or expand to the shape that came out; the size that the batch is in is -1, whatever is left."""
        shape = _shape(node)
        source = node.args[0]
        dynamic = [index - len(shape) for index, size in enumerate(shape) if size == -1]
        before = _shape(source) if isinstance(source, fx.Node) else ()
        # For expand, -1 is the size that was there before.
        kept = all(-index <= len(before) and before[index] == -1 for index in dynamic)
        if len(dynamic) > 1 or (op == "aten.expand.default" and not kept):
            raise ExportError("gives a shape that -1 for the batch does not describe", _place(node), _ONE_BATCH)
        self._add(node, op, (source, list(shape)), {})

    def _add(self, node: fx.Node, op: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        if op not in ALLOWED:
            raise ExportError(f"the operator '{op}' is not allowed", _place(node), "replace it by operators of CNNs")
        self._nodes.append(
            Node(
                node.name,
                op,
                tuple(self._argument(argument, node) for argument in args),
                {key: self._argument(argument, node) for key, argument in kwargs.items() if key not in _PLACEMENT},
                _shape(node),
            )
        )
        self._arguments[node.name] = NodeRef(node.name)

    def _argument(self, value: object, node: fx.Node) -> Argument:
        match value:
            case fx.Node() if _is_of_batch(value):
                raise ExportError(f"takes a number that depends on the batch ({value})", _place(node), _ONE_BATCH)
            case fx.Node():
                return self._arguments[value.name]
            case torch.dtype():
                return DType(str(value).removeprefix("torch."))
            case torch.memory_format():
                return MemoryFormat(str(value).removeprefix("torch."))
            case list() | tuple():
                return tuple(self._argument(item, node) for item in value)
            case None | bool() | int() | float() | str():
                return value
            case _:
                raise ExportError(f"takes a {type(value).__name__}", _place(node), "replace it by operators of CNNs")

    def _output(self, name: str) -> str:
        match self._arguments.get(name):
            case NodeRef(output):
                return output
            case _:
                raise ExportError("is not computed from the input", f"output '{name}'", "remove it from the outputs")


_ONE_BATCH: Final = "let the batch be the first dimension and nothing else depend on it"
_STORED: Final = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
_PLACEMENT: Final = frozenset({"device", "layout", "pin_memory", "non_blocking"})
_Arguments = tuple[object, ...]

_FIRST_ONLY: Final[Mapping[str, tuple[str, Callable[[_Arguments], _Arguments]]]] = {
    "aten._native_batch_norm_legit_no_training.default": (
        "aten.batch_norm.default",
        lambda args: (*args[:5], False, *args[5:7], False),
    ),
    "aten.max_pool2d_with_indices.default": ("aten.max_pool2d.default", lambda args: args),
    "aten.native_group_norm.default": (
        "aten.group_norm.default",
        lambda args: (args[0], args[6], args[1], args[2], args[7], False),
    ),
    "aten.native_layer_norm.default": ("aten.layer_norm.default", lambda args: (*args, False)),
}
"""Operators of several outputs, of which models use the first: the one of one output, and its arguments from theirs."""

_CHECKS: Final = frozenset(
    {
        "aten._assert_scalar.default",
        "aten._assert_tensor_metadata.default",
        "aten.sym_constrain_range.default",
        "aten.sym_constrain_range_for_size.default",
    }
)
"""What torch.export adds to guard shapes; they compute nothing."""

_REWRITTEN: Final[Mapping[str, tuple[str, Callable[[_Arguments], _Arguments]]]] = {
    "aten._log_softmax.default": ("aten.log_softmax.int", lambda args: args[:2]),
    "aten._softmax.default": ("aten.softmax.int", lambda args: args[:2]),
}
"""Operators that torch decomposes others into, and the public one of the same result."""

_SHAPED: Final = {
    "aten._unsafe_view.default": "aten.reshape.default",
    "aten.reshape.default": "aten.reshape.default",
    "aten.view.default": "aten.reshape.default",
}


def _is_of_batch(node: fx.Node) -> bool:
    """Whether it gives a number (the size of the batch, or one computed from it), not a tensor."""
    return isinstance(node.meta.get("val"), torch.SymInt | torch.SymBool | torch.SymFloat | int | float)


def _shape(node: fx.Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return ()
    return tuple(size if isinstance(size, int) else -1 for size in value.shape)


def _dtype(node: fx.Node) -> torch.dtype | None:
    value = node.meta.get("val")
    return value.dtype if isinstance(value, torch.Tensor) else None


def _place(node: fx.Node) -> str:
    """The node's name, and the module that it came from, if torch noted it."""
    modules = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
    return f"{node.name} (in {modules[-1]})" if modules else node.name
