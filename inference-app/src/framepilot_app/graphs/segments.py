"""A program as one script, which loading makes in small bounded steps.

Torch plans a script at its first run, in one step that grows with its length. So the calls are cut into short scripts,
each is run once while the model is loaded, and one more, of a line for each, calls them all from torch's interpreter.
Those that run in pieces (`pieces.py`) are the body of a loop there: all of them for one piece of the batch, then for
the next.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import torch

from framepilot_app.graphs.calls import Instruction
from framepilot_app.graphs.script import Function, Script

LENGTH: Final = 6
"""Calls in one segment: to write and first run it takes 2 ms on the CPU of docs/benchmarks.md, 64 calls took 30."""


class Segment(NamedTuple):
    """Consecutive calls of a program: the slots they take and give, and how many items at once (0: all)."""

    function: Function
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    piece: int


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
    parts = [*_parts(instructions)]
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


def _parts(instructions: Sequence[Instruction]) -> Iterator[Sequence[Instruction]]:
    for _, alike in groupby(instructions, key=lambda instruction: instruction.piece):
        run = [*alike]
        yield from (run[start : start + LENGTH] for start in range(0, len(run), LENGTH))


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
    return Segment(script.finish(given), inputs, given, part[0].piece)


def _chain(parts: Sequence[Segment], inputs: int, outputs: Sequence[int]) -> Function:
    """One function that calls all; torch runs it as it is written, each value forgotten after its last use."""
    names: dict[str, Callable[..., object]] = {"cat": torch.cat}
    lines: list[str] = []
    parameters = [f"s{slot}" for slot in range(inputs)]
    tensors: list[torch.Tensor] = []
    end = 0
    for piece, alike in groupby(parts, key=lambda part: part.piece):
        run = [*alike]
        letter = "p" if piece else "s"
        calls = []
        for index, part in enumerate(run, start=end):
            name = f"segment{index}"
            names[name] = part.function.run
            own = [f"{name}_{number}" for number in range(len(part.function.tensors))]
            given = ", ".join([*(f"{letter}{slot}" for slot in part.inputs), *own])
            calls.append(f"{''.join(f'{letter}{slot}, ' for slot in part.outputs)}= {name}({given})")
            parameters += own
            tensors += part.function.tensors
        end += len(run)
        needed = {slot for part in parts[end:] for slot in part.inputs}.union(outputs)
        lines += _loop(run, needed, calls) if piece else calls
    body = "".join(f"    {line}\n" for line in lines)
    unit = torch._C.CompilationUnit()  # noqa: SLF001 no public way
    text = f"def program({', '.join(parameters)}):\n{body}    return ({''.join(f's{slot}, ' for slot in outputs)})\n"
    unit.define(text, names.__getitem__)
    functions = tuple(part.function for part in parts)
    form = "".join([text, *(each.form for each in functions)])
    return Function(unit.find_function("program"), tuple(tensors), form, functions)


def _loop(run: Sequence[Segment], needed: set[int], calls: Sequence[str]) -> Iterator[str]:
    """These calls for one piece after the other; what is needed of them is put together again."""
    own = {slot for part in run for slot in part.outputs}
    taken = sorted({slot for part in run for slot in part.inputs} - own)
    given = sorted(own & needed)
    pieces = ", ".join(f"s{slot}.split({run[0].piece})" for slot in taken)
    yield from (f"all{slot} = []" for slot in given)
    yield f"for {', '.join(f'p{slot}' for slot in taken)} in {pieces if len(taken) == 1 else f'zip({pieces})'}:"
    yield from (f"    {call}" for call in calls)
    yield from (f"    all{slot}.append(p{slot})" for slot in given)
    yield from (f"s{slot} = all{slot}[0] if len(all{slot}) == 1 else cat(all{slot})" for slot in given)
