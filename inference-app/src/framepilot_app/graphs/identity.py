"""What programs have in common, whatever they call it: every kernel gets an identity, a hash of how its value is made.

It is hashed from the operator, its arguments, and the identities of what it takes, down to the picture and the contents
of parameters (a Merkle tree). So equal identities mean equal values for equal pictures, to the bit, and what is behind
a difference differs, too. What runs as one kernel has one identity: fused with what follows it, a convolution rounds
otherwise than alone. The shapes that a program claims are hashed as well, as engines choose layouts by them. Whether
a kernel runs in pieces (`pieces.py`) follows from all this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from framepilot_app.graphs.fusion import Kernel
from framepilot_app.graphs.operators import SPLITS, unshareable
from framepilot_app.graphs.parameter import Parameter
from framepilot_app.graphs.pieces import kernels_of
from framepilot_app.graphs.program import Argument, ImageInput, Node, NodeRef, ParameterRef, Program
from framepilot_app.graphs.work import flops_of, item_bytes


@dataclass(frozen=True, slots=True)
class Step:
    """One kernel of a program. In `kernel`, nodes go by their identities and parameters by their digests."""

    kernel: Kernel
    name: str
    """What the program itself calls its value."""
    parameters: tuple[str, ...]
    """What the program calls its parameters, in their order."""
    takes: tuple[str, ...]
    """Identities of values that it needs, or that the free steps before it need; the picture is one."""
    takes_free: tuple[str, ...]
    """Identities of the free steps among those whose values it takes."""
    free: bool
    """It costs nothing for a batch: a constant, or a list of views. Every stage that takes it has its own."""
    unshareable: str | None
    """Why it can be nobody else's as well."""
    flops: int
    """Of one item, estimated."""
    nbytes: int
    """Of its value for one item; 0 if its shape is unknown."""
    read_bytes: int
    """Of the values that it takes, for one item."""
    parameter_bytes: int

    @property
    def identity(self) -> str:
        """The name of its value in all programs."""
        return self.kernel.name

    @property
    def nodes(self) -> int:
        """How many nodes of the program it is."""
        return 1 + (self.kernel.other is not None) + (self.kernel.unary is not None)


@dataclass(frozen=True, slots=True)
class Member:
    """A program with the identities of all that it computes. `name` is whose it is."""

    name: str
    image: ImageInput
    picture: str
    """The identity of its input: size, layout and how pixels become numbers."""
    steps: Mapping[str, Step]
    """By identity, in the order in which the program runs them; what it computes twice is there once."""
    outputs: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    """By digest."""

    @property
    def flops(self) -> int:
        """Of one item, estimated."""
        return sum(step.flops for step in self.steps.values())


def identify(
    name: str, program: Program, parameters: Mapping[str, Parameter], preprocessing: str, fusable: frozenset[str]
) -> Member:
    """Find the identities of a program.

    Args:
        name: whose it is; nothing that may be shared depends on it.
        program: in normal form, if small differences of writing are to be overlooked.
        parameters: by the program's names.
        preprocessing: how a picture becomes the input, in words that are equal only if it does so equally.
        fusable: the convolutions that run packed, see `fusion.fuse`.
    """
    image = program.input
    size = image.shape
    picture = _hash("picture", size, preprocessing)
    found = _Finding(name, parameters, {image.name: picture}, {image.name: size})
    for kernel in kernels_of(program, fusable):
        found.visit(kernel)
    outputs = tuple(found.names[output] for output in program.outputs)
    used = {parameters[each].digest: parameters[each] for each in program.parameters}
    return Member(name, image, picture, found.steps, outputs, used)


class _Finding:
    """One pass from the picture to the outputs; `names` are identities by the program's names."""

    def __init__(
        self,
        member: str,
        parameters: Mapping[str, Parameter],
        names: dict[str, str],
        shapes: dict[str, tuple[int, ...]],
    ) -> None:
        self._member = member
        self._parameters = parameters
        self._types = {name: parameter.type for name, parameter in parameters.items()}
        self._shapes = shapes
        self.names = names
        self.steps: dict[str, Step] = {}

    def visit(self, kernel: Kernel) -> None:
        node = kernel.node
        self._shapes[kernel.name] = kernel.shape
        arguments = tuple(self._renamed(argument) for argument in node.args)
        options = {key: self._renamed(argument) for key, argument in sorted(node.kwargs.items())}
        other = None if kernel.other is None else self.names[kernel.other]
        reason = unshareable(node.op)
        alone = None if reason is None else (self._member, kernel.name)
        unary = kernel.unary
        identity = _hash("kernel", node.op, arguments, tuple(options.items()), other, unary, kernel.shape, alone)
        self.names[kernel.name] = identity
        if identity in self.steps:
            return
        inputs = tuple(dict.fromkeys(self.names[name] for name in kernel.inputs()))
        free = tuple(each for each in inputs if each in self.steps and self.steps[each].free)
        takes = inputs
        if free:
            takes = tuple(dict.fromkeys(need for each in inputs for need in self._needed(each)))
        named = Node(identity, node.op, arguments, options, node.shape)
        parameters = tuple(node.parameters())
        self.steps[identity] = Step(
            Kernel(identity, named, other, unary, kernel.shape, kernel.piece),
            kernel.name,
            parameters,
            takes,
            free,
            node.op in SPLITS or not takes,
            reason,
            flops_of(kernel, self._shapes, self._types),
            item_bytes(kernel.shape),
            sum(item_bytes(self._shapes[name]) for name in set(kernel.inputs())),
            sum(self._types[name].nbytes for name in set(parameters)),
        )

    def _renamed(self, argument: Argument) -> Argument:
        match argument:
            case NodeRef(name):
                return NodeRef(self.names[name])
            case ParameterRef(name):
                return ParameterRef(self._parameters[name].digest)
            case tuple():
                return tuple(self._renamed(item) for item in argument)
            case _:
                return argument

    def _needed(self, identity: str) -> tuple[str, ...]:
        step = self.steps.get(identity)
        return step.takes if step is not None and step.free else (identity,)


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
