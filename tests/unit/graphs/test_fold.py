"""Folding keeps the function and leaves less to do."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot_app.graphs import aten, torch_engine
from framepilot_app.graphs.export import from_module
from framepilot_app.graphs.fold import fold
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, ParameterRef, Program
from support.networks import Residual, finish, largest_difference

CHANNELS = 4
IMAGE = ImageInput("image", CHANNELS, 6, 6)
Weights = dict[str, torch.Tensor]


def normal(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def convolution(name: str, source: str, weights: Weights, seed: int, kind: str) -> Node:
    groups = {"plain": 1, "depthwise": CHANNELS, "transposed": 1, "grouped transposed": 2, "shared": 1}[kind]
    weight = "shared.weight" if kind == "shared" else f"{name}.weight"
    weights[weight] = normal((CHANNELS, CHANNELS // groups, 3, 3), 0 if kind == "shared" else seed) / 3
    bias = None
    if seed % 2:
        weights[f"{name}.bias"] = normal((CHANNELS,), seed)
        bias = ParameterRef(f"{name}.bias")
    args = (NodeRef(source), ParameterRef(weight), bias, (1, 1), (1, 1), (1, 1), "transposed" in kind, (0, 0), groups)
    return Node(name, "aten.convolution.default", args)


def batch_norm(name: str, source: str, weights: Weights, seed: int) -> Node:
    parts = {"weight": 1, "bias": 2, "running_mean": 3, "running_var": 4}
    for part, offset in parts.items():
        weights[f"{name}.{part}"] = normal((CHANNELS,), seed * 10 + offset)
    weights[f"{name}.running_var"] = weights[f"{name}.running_var"].abs() + 0.1
    references = [ParameterRef(f"{name}.{part}") for part in parts]
    if seed % 3 == 0:
        references[:2] = [None, None]
    return Node(name, "aten.batch_norm.default", (NodeRef(source), *references, False, 0.1, 1e-5, False))


def affine(name: str, source: str, weights: Weights, seed: int) -> Node:
    operation = ("add", "mul", "sub", "div")[seed % 4]
    if seed % 3 == 0:
        return Node(name, f"aten.{operation}.Scalar", (NodeRef(source), 1.5))
    shape = ((1, CHANNELS, 1, 1), (CHANNELS, 1, 1), (1,), (), (1, 1, 6, 1))[seed % 5]
    weights[f"{name}.operand"] = normal(shape, seed).abs() + 0.5
    operands = (NodeRef(source), ParameterRef(f"{name}.operand"))
    return Node(name, f"aten.{operation}.Tensor", operands if seed % 2 else operands[::-1])


@st.composite
def programs(draw: st.DrawFn) -> tuple[Program, Weights]:
    """Random graphs of convolutions, norms, products and sums with constants, activations, sums and copies."""
    weights: Weights = {}
    nodes: list[Node] = []
    names = ["image"]
    for index in range(draw(st.integers(1, 9))):
        name = f"n{index}"
        source = draw(st.sampled_from(names[-3:]))
        seed = draw(st.integers(0, 1000))
        match draw(st.sampled_from(["convolution", "norm", "norm", "affine", "affine", "relu", "sum", "copy"])):
            case "convolution":
                kinds = ["plain", "depthwise", "transposed", "grouped transposed", "shared"]
                nodes.append(convolution(name, source, weights, seed, draw(st.sampled_from(kinds))))
            case "norm":
                nodes.append(batch_norm(name, source, weights, seed))
            case "affine":
                nodes.append(affine(name, source, weights, seed))
            case "relu":
                nodes.append(Node(name, "aten.relu.default", (NodeRef(source),)))
            case "sum":
                nodes.append(Node(name, "aten.add.Tensor", (NodeRef(source), NodeRef(draw(st.sampled_from(names))))))
            case _:
                nodes.append(Node(name, "aten.clone.default", (NodeRef(source),)))
        names.append(name)
    outputs = {names[-1], draw(st.sampled_from(names))}
    return Program(IMAGE, tuple(nodes), tuple(sorted(outputs)), tuple(weights)), weights


@settings(deadline=None, max_examples=200)
@given(programs())
def test_folding_and_compiling_keep_any_function(case: tuple[Program, Weights]) -> None:
    program, weights = case
    kept = {name: tensor.clone() for name, tensor in weights.items()}
    folded, tensors = fold(program, weights)
    batch = normal((3, CHANNELS, 6, 6), 7)
    expected = aten.run(program, weights, batch)
    scale = max(1.0, *(float(output.abs().max()) for output in expected))
    assert largest_difference(aten.run(folded, tensors, batch), expected) < 1e-4 * scale
    compiled = finish(torch_engine.compile(folded, tensors, torch.device("cpu")))
    assert largest_difference(compiled(batch), expected) < 1e-4 * scale
    assert set(tensors) == set(folded.parameters)
    assert len(folded.nodes) <= len(program.nodes)
    assert all(torch.equal(weights[name], kept[name]) for name in kept)


def test_norms_and_constant_products_after_convolutions_are_gone() -> None:
    exported = from_module(Residual(), torch.randn(1, 3, 16, 16))
    folded, _ = fold(exported.program, exported.weights)
    assert not [node.op for node in folded.nodes if node.op == "aten.batch_norm.default"]


def test_a_convolution_whose_output_is_taken_twice_stays_as_it_is() -> None:
    weights: Weights = {}
    nodes = (
        convolution("convolution", "image", weights, 1, "plain"),
        batch_norm("norm", "convolution", weights, 1),
        Node("sum", "aten.add.Tensor", (NodeRef("norm"), NodeRef("convolution"))),
    )
    program = Program(IMAGE, nodes, ("sum",), tuple(weights))
    assert fold(program, weights)[0] == program


def test_nodes_and_parameters_that_nothing_needs_are_gone() -> None:
    weights: Weights = {}
    nodes = (
        convolution("unused", "image", weights, 1, "plain"),
        Node("copy", "aten.clone.default", (NodeRef("image"),)),
        Node("relu", "aten.relu.default", (NodeRef("copy"),)),
    )
    folded, tensors = fold(Program(IMAGE, nodes, ("relu",), tuple(weights)), weights)
    assert folded.nodes == (Node("relu", "aten.relu.default", (NodeRef("image"),)),)
    assert tensors == {}


def test_weights_of_dead_channels_become_zero() -> None:
    weights: Weights = {}
    nodes = (convolution("convolution", "image", weights, 1, "plain"),)
    weights["convolution.weight"][0] = 1e-38
    _, tensors = fold(Program(IMAGE, nodes, ("convolution",), tuple(weights)), weights)
    assert tensors["convolution.weight"][0].count_nonzero() == 0
    assert torch.equal(tensors["convolution.weight"][1:], weights["convolution.weight"][1:])
