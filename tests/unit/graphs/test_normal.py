"""The normal form computes the same to the bit, and leaves out what does nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot_app.graphs import aten, torch_engine
from framepilot_app.graphs.normal import normalise
from framepilot_app.graphs.parameter import TensorType
from framepilot_app.graphs.program import Argument, DType, MemoryFormat, Node, NodeRef, ParameterRef, Program
from support.merged_run import CPU, same_bits
from support.networks import finish
from support.random_programs import CHANNELS, IMAGE, LETTERS, SHAPE, SIDE, parameters_of, write

BATCH = torch.randn(2, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
LAST = 2**63 - 1


def left(*nodes: Node, outputs: tuple[str, ...] = ()) -> list[str]:
    program = Program(IMAGE, nodes, outputs or (nodes[-1].name,), ())
    normal = normalise(program, {})
    assert same_bits(aten.run(normal, {}, BATCH), aten.run(program, {}, BATCH))
    return [node.name for node in normal.nodes]


def apply(name: str, op: str, source: str, *rest: Argument, **kwargs: Argument) -> Node:
    return Node(name, f"aten.{op}", (NodeRef(source), *rest), kwargs, SHAPE)


@pytest.mark.parametrize(
    "nothing",
    [
        apply("n", "clone.default", "relu"),
        apply("n", "clone.default", "relu", memory_format=MemoryFormat("preserve_format")),
        apply("n", "alias.default", "relu"),
        apply("n", "detach.default", "relu"),
        apply("n", "lift_fresh_copy.default", "relu"),
        apply("n", "_to_copy.default", "relu", dtype=DType("float32")),
        apply("n", "reshape.default", "relu", SHAPE),
        apply("n", "permute.default", "relu", (0, 1, 2, 3)),
        apply("n", "expand.default", "relu", (-1, -1, -1, -1)),
        apply("n", "slice.Tensor", "relu", 1, 0, LAST),
    ],
    ids=lambda node: f"{node.op} {node.args[1:]}",
)
def test_what_gives_back_its_input_is_left_out(nothing: Node) -> None:
    relu, after = apply("relu", "relu.default", "image"), apply("after", "sigmoid.default", "n")
    assert left(relu, nothing, after) == ["relu", "after"]
    assert left(relu, nothing, outputs=("n", "relu")) == ["relu"]


@pytest.mark.parametrize(
    "something",
    [
        apply("n", "clone.default", "relu", memory_format=MemoryFormat("contiguous_format")),
        apply("n", "_to_copy.default", "relu", dtype=DType("float64")),
        apply("n", "reshape.default", "relu", (-1, SIDE, CHANNELS, SIDE)),
        apply("n", "reshape.default", "relu", (2, CHANNELS, SIDE, SIDE)),
        apply("n", "permute.default", "relu", (0, 1, 3, 2)),
        apply("n", "slice.Tensor", "relu", 1, 0, 2),
        apply("n", "slice.Tensor", "relu", 1, 1, LAST),
        apply("n", "slice.Tensor", "relu", 1, 0, LAST, 2),
    ],
    ids=lambda node: f"{node.op} {node.args[1:]}",
)
def test_what_changes_type_layout_or_place_stays(something: Node) -> None:
    relu = apply("relu", "relu.default", "image")
    after = apply("after", "_to_copy.default", "n", dtype=DType("float32"))
    assert left(relu, something, after)[:2] == ["relu", "n"]


def test_a_copy_of_a_view_stays_as_it_closes_gaps() -> None:
    part = apply("part", "slice.Tensor", "image", 3, 0, 2)
    assert left(part, apply("copy", "clone.default", "part"), apply("after", "relu.default", "copy")) == [
        "part", "copy", "after",
    ]  # fmt: skip


def test_a_cast_of_what_may_be_another_type_stays() -> None:
    nodes = (
        Node("sum", "aten.add.Tensor", (ParameterRef("w"), ParameterRef("w"))),
        Node("cast", "aten._to_copy.default", (NodeRef("sum"),), {"dtype": DType("float32")}),
        Node("after", "aten.mul.Tensor", (NodeRef("image"), NodeRef("cast"))),
    )
    program = Program(IMAGE, nodes, ("after",), ("w",))
    assert len(normalise(program, {"w": TensorType("float64", (1,))}).nodes) == 3
    assert len(normalise(program, {"w": TensorType("float32", (1,))}).nodes) == 2


def test_what_nobody_needs_is_left_out() -> None:
    relu, dead = apply("relu", "relu.default", "image"), apply("dead", "sigmoid.default", "image")
    assert left(relu, dead, outputs=("relu",)) == ["relu"]


@settings(max_examples=60)
@given(st.lists(LETTERS, max_size=10))
def test_the_normal_form_computes_the_same_to_the_bit(word) -> None:
    program, weights = write(word, "n")
    types = {name: parameter.type for name, parameter in parameters_of(weights).items()}
    normal = normalise(program, types)
    assert same_bits(aten.run(normal, weights, BATCH), aten.run(program, weights, BATCH))
    assert normalise(normal, types) == normal


def test_constants_are_computed_once_when_it_is_compiled() -> None:
    program, weights = write([("constant", 0, 1), ("split", 0, 0), ("constant", 0, 2)], "n")
    compiled = finish(torch_engine.compile(program, weights, CPU))
    assert same_bits(compiled(BATCH), aten.run(program, weights, BATCH))
    names = [instruction.name for instruction in compiled._stage._instructions]
    constants = [node.name for node in program.nodes if node.op == "aten.exp.default"]
    assert len(constants) == 2
    assert not set(constants) & set(names)
