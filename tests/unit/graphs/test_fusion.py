"""Which nodes run as one kernel."""

from __future__ import annotations

import pytest

from framepilot_app.graphs.fusion import Kernel, Unary, fuse, unfused
from framepilot_app.graphs.program import Argument, ImageInput, Node, NodeRef, ParameterRef, Program

ALL = frozenset({"first", "second", "up"})


def convolution(name: str, source: str, *, transposed: bool = False) -> Node:
    weight = (NodeRef(source), ParameterRef("weight"), None)
    return Node(name, "aten.convolution.default", (*weight, (1, 1), (1, 1), (1, 1), transposed, (0, 0), 1))


def apply(name: str, op: str, source: str, *rest: Argument) -> Node:
    return Node(name, f"aten.{op}", (NodeRef(source), *rest))


def add(name: str, first: str, second: str) -> Node:
    return Node(name, "aten.add.Tensor", (NodeRef(first), NodeRef(second)))


def kernels(*nodes: Node, outputs: tuple[str, ...] = (), fusable: frozenset[str] = ALL) -> list[Kernel]:
    program = Program(ImageInput("image", 3, 8, 8), nodes, outputs or (nodes[-1].name,), ("weight",))
    return list(fuse(program, fusable))


FIRST = convolution("first", "image")


@pytest.mark.parametrize(
    ("node", "unary"),
    [
        (apply("act", "relu.default", "first"), Unary("relu")),
        (apply("act", "hardtanh.default", "first", 0, 6), Unary("hardtanh", (0.0, 6.0))),
        (apply("act", "clamp.default", "first", -1.0, 1.0), Unary("hardtanh", (-1.0, 1.0))),
        (apply("act", "leaky_relu.default", "first", 0.1), Unary("leaky_relu", (0.1,))),
        (apply("act", "silu.default", "first"), Unary("swish")),
    ],
    ids=lambda value: value.op if isinstance(value, Node) else "",
)
def test_an_activation_joins_its_convolution(node: Node, unary: Unary) -> None:
    assert kernels(FIRST, node) == [Kernel("act", FIRST, None, unary)]


def test_a_sum_and_its_relu_join_the_later_convolution() -> None:
    second = convolution("second", "image")
    found = kernels(FIRST, second, add("sum", "first", "second"), apply("relu", "relu.default", "sum"))
    assert found == [Kernel("first", FIRST), Kernel("relu", second, "first", Unary("relu"))]


def test_a_kernel_stands_where_its_last_node_stood() -> None:
    pooled = apply("pooled", "mean.dim", "image", (2, 3), True)
    found = kernels(FIRST, pooled, add("sum", "first", "pooled"))
    assert found == [Kernel("pooled", pooled), Kernel("sum", FIRST, "pooled")]


@pytest.mark.parametrize(
    "nodes",
    [
        (FIRST, apply("relu", "relu.default", "first"), add("sum", "relu", "first")),
        (FIRST, apply("clamp", "clamp.default", "first", 0.0)),
        (FIRST, Node("sum", "aten.add.Tensor", (NodeRef("first"), NodeRef("image")), {"alpha": 2})),
        (FIRST, add("sum", "first", "first")),
        (convolution("up", "image", transposed=True), add("sum", "up", "image")),
    ],
    ids=["taken twice", "one bound", "alpha", "with itself", "transposed"],
)
def test_what_cannot_join_stays(nodes: tuple[Node, ...]) -> None:
    assert kernels(*nodes) == [Kernel(node.name, node) for node in nodes]


def test_after_a_sum_only_relu_joins() -> None:
    sigmoid = apply("sigmoid", "sigmoid.default", "sum")
    found = kernels(FIRST, add("sum", "first", "image"), sigmoid)
    assert found == [Kernel("sum", FIRST, "image"), Kernel("sigmoid", sigmoid)]


def test_a_convolution_that_is_an_output_stays() -> None:
    relu = apply("relu", "relu.default", "first")
    assert kernels(FIRST, relu, outputs=("first", "relu")) == [Kernel("first", FIRST), Kernel("relu", relu)]


def test_a_convolution_that_is_not_packed_stays() -> None:
    relu = apply("relu", "relu.default", "first")
    assert kernels(FIRST, relu, fusable=frozenset()) == [Kernel("first", FIRST), Kernel("relu", relu)]


@pytest.mark.parametrize("op", ["relu", "sigmoid", "tanh", "silu", "hardswish", "gelu"])
def test_what_was_fused_comes_apart_into_nodes_that_fuse_again(op: str) -> None:
    (kernel,) = kernels(FIRST, apply("act", f"{op}.default", "first"))
    assert unfused(kernel) == (convolution("act.0", "image"), apply("act", f"{op}.default", "act.0"))


@pytest.mark.parametrize(
    ("op", "scalars"), [("hardtanh.default", (-1.0, 2.0)), ("leaky_relu.default", (0.1,))], ids=str
)
def test_numbers_of_an_activation_are_not_lost(op: str, scalars: tuple[float, ...]) -> None:
    (kernel,) = kernels(FIRST, apply("act", op, "first", *scalars))
    assert unfused(kernel)[-1] == apply("act", op, "act.0", *scalars)


def test_a_sum_and_its_relu_come_apart_in_order() -> None:
    _, fused = kernels(
        convolution("second", "image"), FIRST, add("sum", "first", "second"), apply("relu", "relu.default", "sum")
    )
    assert unfused(fused) == (
        convolution("relu.0", "image"),
        add("relu.1", "relu.0", "second"),
        apply("relu", "relu.default", "relu.1"),
    )


def test_a_kernel_of_one_node_is_that_node() -> None:
    assert unfused(*kernels(FIRST)) == (FIRST,)
