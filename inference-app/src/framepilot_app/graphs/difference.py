"""What two programs have in common, and where and why it ends. Pure.

The end is where a kernel takes only values that both programs have, and gives one that the other has not. What the
other program does with the same values instead says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from framepilot_app.graphs.costs import CostModel
from framepilot_app.graphs.identity import Member, Step
from framepilot_app.graphs.merging import DEFAULT_COSTS, merge
from framepilot_app.graphs.parameter import TensorType
from framepilot_app.graphs.program import Argument, ParameterRef


@dataclass(frozen=True, slots=True)
class End:
    """A place where the common part ends: a node of each program, as these call them, None: it has none there."""

    first: str | None
    second: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Common:
    """What of one program the two have in common, and how much it has."""

    nodes: int
    all_nodes: int
    flops_share: float
    parameter_bytes: int
    """Of equal contents wherever they are used: these are in memory once."""
    all_parameter_bytes: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What two programs have in common, seen from each, and why it is not more."""

    first: Common
    second: Common
    shared_nodes: int
    """Of those in common, the nodes that run once for both."""
    saved_flops: int
    """Of one item: what running them once saves."""
    saved_bytes: int
    """Of parameters."""
    ends: tuple[End, ...]


def difference(first: Member, second: Member, costs: CostModel = DEFAULT_COSTS) -> Difference:
    """Compare two programs, whose names must not be the same."""
    common = first.steps.keys() & second.steps.keys()
    merged = merge([first, second], costs)
    once = {kernel.name for each in merged.stages if len(each.users) == 2 for kernel in each.stage.kernels}
    shared = [step for identity, step in first.steps.items() if identity in once]
    apart = [first.steps[each] for each in first.steps if each in common - once and not first.steps[each].free]
    ends = [*_ends(first, second), *_kept_apart(apart)]
    return Difference(
        _common(first, second),
        _common(second, first),
        sum(step.nodes for step in shared),
        sum(step.flops for step in shared),
        sum(first.parameters[digest].type.nbytes for digest in first.parameters.keys() & second.parameters.keys()),
        tuple(ends),
    )


def _common(member: Member, other: Member) -> Common:
    steps = [step for identity, step in member.steps.items() if identity in other.steps]
    return Common(
        sum(step.nodes for step in steps),
        sum(step.nodes for step in member.steps.values()),
        sum(step.flops for step in steps) / max(member.flops, 1),
        sum(each.type.nbytes for digest, each in member.parameters.items() if digest in other.parameters),
        sum(each.type.nbytes for each in member.parameters.values()),
    )


def _ends(first: Member, second: Member) -> Iterator[End]:
    if first.picture != second.picture:
        sizes = [f"{each.image.width} x {each.image.height}" for each in (first, second)]
        reason = "colours, mean, scale or resizing differ" if sizes[0] == sizes[1] else f"{sizes[0]} and {sizes[1]}"
        yield End(first.image.name, second.image.name, f"the pictures they take are not the same: {reason}")
        return
    left, right = list(_frontier(first, second)), list(_frontier(second, first))
    for step in left:
        found = max(right, key=lambda each: _alike(step, each), default=None)
        if found is not None and _alike(step, found) > (0, 0, 0):
            right.remove(found)
            yield End(step.name, found.name, _reason(step, found, first, second))
        else:
            yield End(step.name, None, step.unshareable or f"only {first.name} goes on here, with {_operator(step)}")
    for step in right:
        yield End(None, step.name, step.unshareable or f"only {second.name} goes on here, with {_operator(step)}")


def _frontier(member: Member, other: Member) -> Iterator[Step]:
    """The steps that the other program has not, though it has all that they take."""
    there = {member.picture, *other.steps}
    return (
        step
        for identity, step in member.steps.items()
        if identity not in there and there.issuperset(step.kernel.inputs())
    )


def _alike(one: Step, other: Step) -> tuple[int, int, int]:
    """How likely it is that each stands where the other one stands."""
    inputs = len(set(one.kernel.inputs()) & set(other.kernel.inputs()))
    operator = one.kernel.node.op == other.kernel.node.op
    return (inputs, operator if inputs else 0, (one.kernel.shape == other.kernel.shape) if inputs else 0)


def _reason(one: Step, other: Step, first: Member, second: Member) -> str:
    """The first thing that differs."""
    if one.unshareable or other.unshareable:
        return one.unshareable or other.unshareable or ""
    if one.kernel.node.op != other.kernel.node.op:
        return f"the operator: {one.kernel.node.op} and {other.kernel.node.op}"
    if one.kernel.inputs() != other.kernel.inputs():
        return "they take other values"
    names = [iter(one.parameters), iter(other.parameters)]
    for index, (mine, theirs) in enumerate(zip_longest(_leaves(one), _leaves(other))):
        parameters = [
            next(each) if isinstance(argument, ParameterRef) else None
            for each, argument in zip(names, (mine, theirs), strict=True)
        ]
        if mine == theirs:
            continue
        if isinstance(mine, ParameterRef) and isinstance(theirs, ParameterRef):
            types = (first.parameters[mine.name].type, second.parameters[theirs.name].type)
            called = f"parameters '{parameters[0]}' and '{parameters[1]}'"
            if types[0] != types[1]:
                return f"{called}: {_type(types[0])} and {_type(types[1])}"
            return f"{called}: other contents"
        return f"argument {index} of {one.kernel.node.op}: {_shown(mine)} and {_shown(theirs)}"
    if (one.kernel.other, one.kernel.unary) != (other.kernel.other, other.kernel.unary):
        return "what runs fused with it differs, and so does how it rounds"
    return f"the shape that is said of it: {one.kernel.shape} and {other.kernel.shape}"


def _kept_apart(steps: Iterable[Step]) -> Iterator[End]:
    """What is equal and still run by each."""
    found = list(steps)
    if found:
        nodes = sum(step.nodes for step in found)
        reason = f"{nodes} nodes from here are equal, but cheaper to compute by each than to keep what they give"
        yield End(found[0].name, None, reason)


def _leaves(step: Step) -> Iterator[Argument]:
    pending: list[Argument] = [*step.kernel.node.args, *step.kernel.node.kwargs.values()]
    while pending:
        argument = pending.pop(0)
        if isinstance(argument, tuple) and any(isinstance(item, ParameterRef) for item in argument):
            pending[:0] = argument
        else:
            yield argument


def _operator(step: Step) -> str:
    return step.kernel.node.op


def _type(taken: TensorType) -> str:
    return f"{taken.dtype} {' x '.join(map(str, taken.shape)) or 'scalar'}"


def _shown(argument: Argument) -> str:
    return "a parameter" if isinstance(argument, ParameterRef) else "nothing" if argument is None else f"{argument}"
