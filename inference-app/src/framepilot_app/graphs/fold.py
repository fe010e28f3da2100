"""Rewrite a program so that it does less, at pack time: program and parameters in, program and parameters out.

A convolution is linear, so whatever scales and shifts its channels afterwards (batch norm, or a product and a sum with
constants) goes into its weight and bias: W' = s W, b' = s b + t. Nodes that give back their input are dropped. Weights
so small that they can change no sum (dead channels of a trained network) become 0: products with them are subnormal
numbers, with which a CPU computes many times slower (measured: 25 x for one layer).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Final

import torch

from framepilot_app.graphs.normal import alive, with_inputs
from framepilot_app.graphs.operators import BATCH_NORM, CONVOLUTION, IDENTITIES
from framepilot_app.graphs.program import Argument, Node, NodeRef, ParameterRef, Program

Weights = dict[str, torch.Tensor]

TINY: Final = 1e-30
"""float32 keeps 7 digits: beside any sum above 1e-23, a product with a smaller weight is nothing."""

_WEIGHTED: Final = frozenset({CONVOLUTION, "aten.linear.default"})


def fold(program: Program, weights: Mapping[str, torch.Tensor]) -> tuple[Program, Weights]:
    """The same function within rounding, with fewer nodes; parameters that nothing uses any more are left out."""
    program = _without_identities(program)
    folding = _Folding(program, weights)
    for node in program.nodes:
        folding.visit(node)
    folded, tensors = _without_unused(folding.result(), folding.weights)
    return folded, _without_tiny_weights(folded, tensors)


class _Folding:
    """One pass from inputs to outputs; a node that is folded away goes by its convolution's name."""

    def __init__(self, program: Program, weights: Mapping[str, torch.Tensor]) -> None:
        self._program = program
        self.weights: Weights = dict(weights)
        self._nodes: dict[str, Node] = {}
        self._renamed: dict[str, str] = {}
        self._uses = Counter(name for node in program.nodes for name in node.inputs())
        self._uses.update(program.outputs)
        self._parameter_uses = Counter(name for node in program.nodes for name in node.parameters())

    def visit(self, node: Node) -> None:
        renamed = with_inputs(node, self._renamed)
        target = self._convolution_before(node, renamed)
        affine = _affine(renamed, target, self.weights) if target else None
        if target is None or affine is None:
            self._nodes[renamed.name] = renamed
            return
        self._nodes[target.name] = self._scaled(target, *affine)
        self._renamed[node.name] = target.name

    def result(self) -> Program:
        return replace(
            self._program,
            nodes=tuple(self._nodes.values()),
            outputs=tuple(self._renamed.get(name, name) for name in self._program.outputs),
            parameters=tuple(self.weights),
        )

    def _convolution_before(self, node: Node, renamed: Node) -> Node | None:
        """The convolution whose output this node is the only one to take, if there is one."""
        sources = set(node.inputs())
        if len(sources) != 1 or self._uses[next(iter(sources))] != 1:
            return None
        found = self._nodes.get(next(renamed.inputs()))
        if found is None or found.op != CONVOLUTION or len(found.args) != 9:
            return None
        weight, bias = found.args[1:3]
        if not isinstance(weight, ParameterRef) or not isinstance(bias, ParameterRef | None):
            return None
        return found if self.weights[weight.name].dim() == 4 else None

    def _scaled(self, node: Node, scale: torch.Tensor, shift: torch.Tensor) -> Node:
        _, weight_ref, bias_ref, *_, transposed, _, groups = node.args
        if not isinstance(weight_ref, ParameterRef) or not isinstance(groups, int):
            raise TypeError(f"{node.name}: not a convolution of a parameter")
        weight = self.weights[weight_ref.name]
        bias = self.weights[bias_ref.name].double() if isinstance(bias_ref, ParameterRef) else torch.zeros_like(scale)
        scaled = _scale_channels(weight.double(), scale, transposed=bool(transposed), groups=groups)
        args = (
            node.args[0],
            self._store(weight_ref, "", scaled.to(weight.dtype)),
            self._store(bias_ref, f"{node.name}.bias", (bias * scale + shift).to(weight.dtype)),
            *node.args[3:],
        )
        return replace(node, args=args)

    def _store(self, former: Argument, name: str, tensor: torch.Tensor) -> ParameterRef:
        """Put a tensor in the place of a parameter, or beside it if the parameter has other uses."""
        if isinstance(former, ParameterRef):
            name = former.name
        if not isinstance(former, ParameterRef) or self._parameter_uses[name] > 1:
            name = next(fresh for fresh in _numbered(name) if fresh not in self.weights)
        self.weights[name] = tensor.contiguous()
        self._parameter_uses[name] = 1
        return ParameterRef(name)


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}.{number}" for number in count(2))


def _affine(node: Node, target: Node, weights: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Scale and shift of each channel (float64) if this node is of the form s x + t of its convolution's output."""
    channels = _out_channels(target, weights)
    if node.op == BATCH_NORM:
        return _batch_norm(node, weights)
    if len(node.args) != 2 or node.kwargs:
        return None
    first, second = node.args
    operand = second if isinstance(first, NodeRef) else first
    constant = _per_channel(operand, channels, weights)
    if constant is None:
        return None
    one, zero = torch.ones(channels, dtype=torch.float64), torch.zeros(channels, dtype=torch.float64)
    match node.op:
        case "aten.mul.Tensor" | "aten.mul.Scalar":
            return constant, zero
        case "aten.add.Tensor" | "aten.add.Scalar":
            return one, constant
        case "aten.sub.Tensor" | "aten.sub.Scalar" if isinstance(first, NodeRef):
            return one, -constant
        case "aten.div.Tensor" | "aten.div.Scalar" if isinstance(first, NodeRef) and bool((constant != 0).all()):
            return 1 / constant, zero
        case _:
            return None


def _batch_norm(node: Node, weights: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor] | None:
    _, weight, bias, mean, variance, _, _, epsilon, *_ = node.args
    if not isinstance(mean, ParameterRef) or not isinstance(variance, ParameterRef) or not isinstance(epsilon, float):
        return None
    scale = (weights[variance.name].double() + epsilon).rsqrt()
    if isinstance(weight, ParameterRef):
        scale = scale * weights[weight.name].double()
    shift = -weights[mean.name].double() * scale
    if isinstance(bias, ParameterRef):
        shift = shift + weights[bias.name].double()
    return scale, shift


def _per_channel(argument: Argument, channels: int, weights: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """A number, or a parameter that has one value for each channel of an N x C x H x W tensor, as C numbers."""
    if isinstance(argument, int | float) and not isinstance(argument, bool):
        return torch.full((channels,), float(argument), dtype=torch.float64)
    if not isinstance(argument, ParameterRef):
        return None
    tensor = weights[argument.name]
    if not tensor.is_floating_point() or tensor.dim() > 4:
        return None
    if tensor.numel() == 1:
        return tensor.double().reshape(1).expand(channels)
    if tensor.numel() == channels and tensor.dim() >= 3 and tensor.shape[-3] == channels:
        return tensor.double().reshape(channels)
    return None


def _out_channels(node: Node, weights: Mapping[str, torch.Tensor]) -> int:
    _, weight, *_, transposed, _, groups = node.args
    if not isinstance(weight, ParameterRef) or not isinstance(groups, int):
        raise TypeError(f"{node.name}: not a convolution of a parameter")
    shape = weights[weight.name].shape
    return shape[1] * groups if transposed else shape[0]


def _scale_channels(weight: torch.Tensor, scale: torch.Tensor, *, transposed: bool, groups: int) -> torch.Tensor:
    """A convolution's weight is out x in/groups x h x w; a transposed one's is in x out/groups x h x w."""
    if not transposed:
        return weight * scale.reshape(-1, 1, 1, 1)
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    return (grouped * scale.reshape(groups, 1, -1, 1, 1)).reshape(weight.shape)


def _without_identities(program: Program) -> Program:
    renamed: dict[str, str] = {}
    nodes: list[Node] = []
    for node in program.nodes:
        first = node.args[0] if node.args else None
        if node.op in IDENTITIES and isinstance(first, NodeRef):
            renamed[node.name] = renamed.get(first.name, first.name)
        else:
            nodes.append(with_inputs(node, renamed))
    outputs = tuple(renamed.get(name, name) for name in program.outputs)
    return replace(program, nodes=tuple(nodes), outputs=outputs)


def _without_unused(program: Program, weights: Weights) -> tuple[Program, Weights]:
    nodes = alive(program.nodes, program.outputs)
    used = {name for node in nodes for name in node.parameters()}
    weights = {name: tensor for name, tensor in weights.items() if name in used}
    return replace(program, nodes=nodes, parameters=tuple(weights)), weights


def _without_tiny_weights(program: Program, weights: Weights) -> Weights:
    multiplied = {
        argument.name
        for node in program.nodes
        if node.op in _WEIGHTED
        for argument in node.args[1:2]
        if isinstance(argument, ParameterRef)
    }
    return {
        name: torch.where(tensor.abs() < TINY, 0.0, tensor) if name in multiplied else tensor
        for name, tensor in weights.items()
    }
