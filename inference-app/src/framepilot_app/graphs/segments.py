"""A program as one script, which loading makes in small bounded steps.

Torch plans a script at its first run, in one step that grows with its length. So the calls are cut into short scripts,
each is run once while the model is loaded, and one more, of a line for each, calls them all from torch's interpreter.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final, NamedTuple

import torch

from framepilot_app.graphs.calls import Instruction
from framepilot_app.graphs.script import Function, Script

LENGTH: Final = 6
"""Calls in one segment: to write and first run it takes 2 ms on the CPU of docs/benchmarks.md, 64 calls took 30."""


class Segment(NamedTuple):
    """Consecutive calls of a program: the slots they take and give."""

    function: Function
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def whole(
    instructions: Sequence[Instruction], outputs: Sequence[int], inputs: Sequence[torch.Tensor]
) -> Generator[None, None, Function]:
    """Write a program as a function of its inputs, which are in the first slots; runs each segment once, on these.

    Raises:
        NotScriptable: a call can only be made from Python.
        RuntimeError: torch does not take a script, or fails on the inputs.
    """
    values = dict(enumerate(inputs))
    made = []
    parts = [instructions[start : start + LENGTH] for start in range(0, len(instructions), LENGTH)]
    for index, part in enumerate(parts):
        yield
        later = {slot for following in parts[index + 1 :] for each in following for slot in each.call.takes()}
        segment = _segment(part, later.union(outputs))
        if segment is None:
            continue
        with torch.inference_mode():
            found = segment.function(*[values[slot] for slot in segment.inputs])
        values.update(zip(segment.outputs, found, strict=True))
        made.append(segment)
    yield
    return _chain(made, len(inputs), outputs)


def _segment(part: Sequence[Instruction], needed: set[int]) -> Segment | None:
    """None: nobody takes what it gives."""
    own = {instruction.slot for instruction in part}
    given = tuple(sorted(own & needed))
    if not given:
        return None
    inputs = tuple(sorted({slot for instruction in part for slot in instruction.call.takes()} - own))
    script = Script.of(inputs)
    for instruction in part:
        script.slots[instruction.slot] = instruction.call.write(script)
    return Segment(script.finish(given), inputs, given)


def _chain(parts: Sequence[Segment], inputs: int, outputs: Sequence[int]) -> Function:
    """One function that calls all; torch runs it as it is written, each value forgotten after its last use."""
    functions = {f"segment{index}": part.function.run for index, part in enumerate(parts)}
    lines: list[str] = []
    parameters = [f"s{slot}" for slot in range(inputs)]
    tensors: list[torch.Tensor] = []
    for (name, _), part in zip(functions.items(), parts, strict=True):
        own = [f"{name}_{index}" for index in range(len(part.function.tensors))]
        given = ", ".join([*(f"s{slot}" for slot in part.inputs), *own])
        lines.append(f"    {''.join(f's{slot}, ' for slot in part.outputs)}= {name}({given})")
        parameters += own
        tensors += part.function.tensors
    text = f"def program({', '.join(parameters)}):\n" + "\n".join(lines)
    unit = torch._C.CompilationUnit()  # noqa: SLF001 no public way
    unit.define(f"{text}\n    return ({''.join(f's{slot}, ' for slot in outputs)})\n", functions.__getitem__)
    run = unit.find_function("program")
    return Function(run, tuple(tensors), tuple(part.function for part in parts))
