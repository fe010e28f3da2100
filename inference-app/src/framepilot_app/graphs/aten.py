"""From a program's words to torch's: the function of an operator, the value of an argument, and a plain run of both.

`run` is the meaning of a program: every engine must agree with it within rounding.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

import torch

from framepilot_app.graphs.operators import ALLOWED, GET_ITEM
from framepilot_app.graphs.program import Argument, DType, MemoryFormat, NodeRef, ParameterRef, Program, ProgramError

Value = torch.Tensor | list[torch.Tensor]
"""What a node gives: a tensor, or a list of them from a split."""

Bound = object
"""An argument as torch takes it: tensor, number, dtype, or a list of these."""

Function = Callable[..., Value]

_PICK_ANOTHER = "pack the model again with this version of torch"


def function(op: str) -> Function:
    """The torch function of an allowed operator.

    Raises:
        ProgramError: it is not allowed, or this version of torch has no such operator.
    """
    if op == GET_ITEM:
        return operator.getitem
    if op not in ALLOWED:
        raise ProgramError(
            f"the operator '{op}' is not allowed", op, "export the model with the operators of CNNs only"
        )
    _, packet, overload = op.split(".")
    try:
        found: Function = getattr(getattr(torch.ops.aten, packet), overload)
    except AttributeError as error:
        raise ProgramError(f"torch {torch.__version__} has no operator '{op}'", op, _PICK_ANOTHER) from error
    return found


def bind(argument: Argument, tensors: Callable[[NodeRef | ParameterRef], Bound]) -> Bound:
    """The value of an argument; `tensors` says what a reference stands for.

    Raises:
        ProgramError: a dtype or memory format that torch does not have.
    """
    match argument:
        case NodeRef() | ParameterRef():
            return tensors(argument)
        case DType(name):
            return _attribute(name, torch.dtype)
        case MemoryFormat(name):
            return _attribute(name, torch.memory_format)
        case tuple():
            return [bind(item, tensors) for item in argument]
        case _:
            return argument


def run(program: Program, weights: Mapping[str, torch.Tensor], batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Run a program as it is written, one plain ATen operator after the other. `batch` is N x C x H x W."""
    values: dict[str, Value] = {program.input.name: batch}

    def tensors(reference: NodeRef | ParameterRef) -> Value:
        return values[reference.name] if isinstance(reference, NodeRef) else weights[reference.name]

    with torch.inference_mode():
        for node in program.nodes:
            args = [bind(argument, tensors) for argument in node.args]
            kwargs = {key: bind(argument, tensors) for key, argument in node.kwargs.items()}
            values[node.name] = function(node.op)(*args, **kwargs)
    outputs = (values[name] for name in program.outputs)
    return tuple(output for output in outputs if isinstance(output, torch.Tensor))


def _attribute(name: str, kind: type) -> object:
    found = getattr(torch, name, None)
    if not isinstance(found, kind):
        raise ProgramError(f"torch has no {kind.__name__} '{name}'", name, _PICK_ANOTHER)
    return found
