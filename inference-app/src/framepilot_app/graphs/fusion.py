"""Which neighbouring nodes of a program run as one kernel of oneDNN: a convolution, a sum, an activation. Pure.

A convolution whose output only one node takes can hand it that node's result at once, and save writing and reading the
tensor in between. The kernel stands where its last node stood: there all its inputs exist.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from framepilot_app.graphs.program import Argument, Node, NodeRef, Program


@dataclass(frozen=True, slots=True)
class Unary:
    """An activation by oneDNN's name, with its scalars and the algorithm (of gelu)."""

    attribute: str
    scalars: tuple[float, ...] = ()
    algorithm: str = ""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A node, and what is done to its output at once: `+ other`, then the activation.

    `name` is what it defines, `shape` that of its output as the program says. `piece` is how many items of a batch it
    takes at once, 0 for all (`pieces.py`).
    """

    name: str
    node: Node
    other: str | None = None
    unary: Unary | None = None
    shape: tuple[int, ...] = ()
    piece: int = 0

    def inputs(self) -> tuple[str, ...]:
        """Names of all that it takes."""
        return (*self.node.inputs(), *(() if self.other is None else (self.other,)))


def fuse(program: Program, fusable: frozenset[str]) -> tuple[Kernel, ...]:
    """Kernels in an order in which they can run; `fusable` names the convolutions that oneDNN will run.

    Whether both sides of a fused sum have the same shape shows only when it runs: the kernel must look.
    """
    uses = Counter(name for node in program.nodes for name in node.inputs())
    uses.update(program.outputs)
    positions = {node.name: position for position, node in enumerate(program.nodes)}
    kernels: dict[str, Kernel] = {}
    for node in program.nodes:
        open_kernels = {
            source: kernels[source]
            for source in node.inputs()
            if uses[source] == 1 and source in kernels and _is_open(kernels[source], fusable)
        }
        grown = _with_unary(node, open_kernels) or _with_sum(node, open_kernels, positions)
        if grown is None:
            kernels[node.name] = Kernel(node.name, node, shape=node.shape)
            continue
        absorbed, kernel = grown
        del kernels[absorbed]
        kernels[kernel.name] = kernel
    return tuple(kernels.values())


def unfused(kernel: Kernel) -> tuple[Node, ...]:
    """The nodes that a kernel stands for, in order; the last one has the kernel's name."""
    following: list[tuple[str, tuple[Argument, ...]]] = []
    if kernel.other is not None:
        following.append(("aten.add.Tensor", (NodeRef(kernel.other),)))
    if kernel.unary is not None:
        following.append((_OPERATORS[kernel.unary.attribute], kernel.unary.scalars))
    names = [*(f"{kernel.name}.{number}" for number in range(len(following))), kernel.name]
    nodes = [replace(kernel.node, name=names[0])]
    for name, (op, rest) in zip(names[1:], following, strict=True):
        nodes.append(Node(name, op, (NodeRef(nodes[-1].name), *rest), {}, kernel.shape))
    return tuple(nodes)


_OPERATORS: Final = {
    "gelu": "aten.gelu.default",
    "hardswish": "aten.hardswish.default",
    "hardtanh": "aten.hardtanh.default",
    "leaky_relu": "aten.leaky_relu.default",
    "relu": "aten.relu.default",
    "sigmoid": "aten.sigmoid.default",
    "swish": "aten.silu.default",
    "tanh": "aten.tanh.default",
}
"""By oneDNN's name."""


def _is_open(kernel: Kernel, fusable: frozenset[str]) -> bool:
    return kernel.node.name in fusable and kernel.unary is None


def _with_unary(node: Node, open_kernels: Mapping[str, Kernel]) -> tuple[str, Kernel] | None:
    unary = _unary(node)
    if unary is None:
        return None
    for source, kernel in open_kernels.items():
        # After a sum, oneDNN's kernel takes relu only.
        if kernel.other is None or unary.attribute == "relu":
            return source, replace(kernel, name=node.name, unary=unary, shape=node.shape)
    return None


def _with_sum(
    node: Node, open_kernels: Mapping[str, Kernel], positions: Mapping[str, int]
) -> tuple[str, Kernel] | None:
    match node.op, node.args:
        case "aten.add.Tensor", (NodeRef(first), NodeRef(second)) if not node.kwargs and first != second:
            others = {first: second, second: first}
        case _:
            return None
    # Of two convolutions the later one takes the other's result.
    for source in sorted(open_kernels, key=lambda name: -positions[name]):
        kernel = open_kernels[source]
        if kernel.other is None and not _is_transposed(kernel.node):
            return source, replace(kernel, name=node.name, other=others[source], shape=node.shape)
    return None


def _is_transposed(convolution: Node) -> bool:
    return convolution.args[6] is not False


def _unary(node: Node) -> Unary | None:
    match node.op, node.args[1:]:
        case "aten.relu.default", ():
            return Unary("relu")
        case "aten.sigmoid.default", ():
            return Unary("sigmoid")
        case "aten.tanh.default", ():
            return Unary("tanh")
        case "aten.silu.default", ():
            return Unary("swish")
        case "aten.hardswish.default", ():
            return Unary("hardswish")
        case "aten.hardtanh.default" | "aten.clamp.default", (int() | float() as low, int() | float() as high):
            return Unary("hardtanh", (float(low), float(high)))
        case "aten.leaky_relu.default", (float() as slope,):
            return Unary("leaky_relu", (slope,))
        case "aten.gelu.default", () if not node.kwargs:
            return Unary("gelu", (), "none")
        case _:
            return None
