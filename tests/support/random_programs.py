"""Random programs that begin alike: each follows one of a few scripts and leaves it somewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from hypothesis import strategies as st

from framepilot_app.graphs.convolution import packed
from framepilot_app.graphs.identity import Member, identify
from framepilot_app.graphs.normal import normalise
from framepilot_app.graphs.parameter import Parameter
from framepilot_app.graphs.preparation import type_of
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, ParameterRef, Program

CHANNELS = 4
SIDE = 6
IMAGE = ImageInput("image", CHANNELS, SIDE, SIDE)
SHAPE = (-1, CHANNELS, SIDE, SIDE)
Weights = dict[str, torch.Tensor]
Letter = tuple[str, int, int]
"""What a node does, of which of the last values, with which numbers."""

KINDS = ("conv", "conv", "depthwise", "relu", "hardtanh", "sigmoid", "add", "mul", "split", "constant", "copy", "pool")
LETTERS = st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 2))


@st.composite
def words(draw: st.DrawFn, most: int = 4) -> list[list[Letter]]:
    """What each of several programs does: parts of one common word, then what is its own."""
    common = draw(st.lists(LETTERS, min_size=1, max_size=8))
    count = draw(st.integers(2, most))
    return [
        common[: draw(st.integers(0, len(common)))] + draw(st.lists(LETTERS, min_size=0, max_size=4))
        for _ in range(count)
    ]


def write(word: Sequence[Letter], prefix: str, more_outputs: int = 0) -> tuple[Program, Weights]:
    """A program for a word; names of nodes and parameters begin with `prefix`, and mean nothing."""
    nodes: list[Node] = []
    weights: Weights = {}
    values = [IMAGE.name]

    def parameter(shape: tuple[int, ...], seed: int) -> ParameterRef:
        name = f"{prefix}w{len(weights)}"
        weights[name] = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) / 2
        return ParameterRef(name)

    def node(op: str, *args, shape: tuple[int, ...] = SHAPE) -> str:
        nodes.append(Node(f"{prefix}{len(nodes)}", op, args, {}, shape))
        return nodes[-1].name

    for kind, back, seed in word:
        source = NodeRef(values[max(0, len(values) - 1 - back)])
        match kind:
            case "conv" | "depthwise":
                groups = CHANNELS if kind == "depthwise" else 1
                weight = parameter((CHANNELS, CHANNELS // groups, 3, 3), seed)
                bias = parameter((CHANNELS,), seed) if seed else None
                rest = ((1, 1), (1, 1), (1, 1), False, (0, 0), groups)
                value = node("aten.convolution.default", source, weight, bias, *rest)
            case "add":
                value = node("aten.add.Tensor", source, NodeRef(values[-1]))
            case "mul":
                value = node("aten.mul.Tensor", source, parameter((CHANNELS, 1, 1), seed))
            case "hardtanh":
                value = node("aten.hardtanh.default", source, -1, seed + 1)
            case "split":
                halves = node("aten.chunk.default", source, 2, 1, shape=())
                parts = [node("getitem", NodeRef(halves), index, shape=(-1, 2, SIDE, SIDE)) for index in (1, 0)]
                value = node("aten.cat.default", tuple(NodeRef(part) for part in parts), 1)
            case "constant":
                constant = node("aten.exp.default", parameter((CHANNELS, 1, 1), seed), shape=(CHANNELS, 1, 1))
                value = node("aten.mul.Tensor", source, NodeRef(constant))
            case "copy":
                value = node("aten.clone.default", source)
            case "pool":
                value = node("aten.max_pool2d.default", source, (3, 3), (1, 1), (1, 1))
            case _:
                value = node(f"aten.{kind}.default", source)
        values.append(value)
    outputs = tuple(dict.fromkeys([values[-1], *values[-1 - more_outputs : -1]]))
    return Program(IMAGE, tuple(nodes), outputs, tuple(weights)), weights


def parameters_of(weights: Weights) -> dict[str, Parameter]:
    """Their contents, as the digests of a file say them."""
    return {
        name: Parameter(
            hashlib.sha256(f"{type_of(tensor)}".encode() + tensor.numpy().tobytes()).hexdigest(), type_of(tensor)
        )
        for name, tensor in weights.items()
    }


def member(name: str, program: Program, weights: Weights, preprocessing: str = "plain") -> Member:
    """A program as merging takes it, as it is loaded on a CPU."""
    return identified(name, program, parameters_of(weights), preprocessing)


def identified(name: str, program: Program, parameters: dict[str, Parameter], preprocessing: str = "plain") -> Member:
    """The same where the contents of its parameters are known."""
    types = {key: parameter.type for key, parameter in parameters.items()}
    normal = normalise(program, types)
    return identify(name, normal, parameters, preprocessing, packed(normal.nodes, types))


def by_digest(*weights: Weights) -> Weights:
    """All tensors, named by their contents."""
    return {parameters_of(each)[name].digest: tensor for each in weights for name, tensor in each.items()}
