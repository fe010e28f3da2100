"""A program in a few scripts, each short enough to be made and first run in one bounded step of loading."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Final, NamedTuple

import torch

from framepilot_app.graphs.calls import Instruction, Values
from framepilot_app.graphs.script import Outputs, Script

LENGTH: Final = 12
"""Calls in one segment. Torch plans a script at its first run: with 64 calls that step of loading took 30 ms beside a
load, with 12 it is shorter than a batch. After each segment the thread takes Python's lock back, which is what few long
ones would save."""


class Segment(NamedTuple):
    """Consecutive calls of a program: the slots they take and give, and those that nobody needs after them."""

    run: Callable[..., Outputs]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    dead: tuple[int, ...]

    def apply(self, values: Values) -> None:
        """Run it on the slots of a batch. Call it in inference mode."""
        found = self.run(*[values[slot] for slot in self.inputs])
        for slot, tensor in zip(self.outputs, found, strict=True):
            values[slot] = tensor
        for slot in self.dead:
            values[slot] = None


def segments(
    instructions: Sequence[Instruction], outputs: Sequence[int], values: Values
) -> Generator[None, None, tuple[Segment, ...]]:
    """Write a program as segments and run each once, on `values` with the image of a batch in slot 0.

    Raises:
        NotScriptable: a call can only be made from Python.
        RuntimeError: torch does not take a script, or fails on the image.
    """
    made = []
    parts = [instructions[start : start + LENGTH] for start in range(0, len(instructions), LENGTH)]
    for index, part in enumerate(parts):
        yield
        later = [slot for following in parts[index + 1 :] for each in following for slot in each.call.takes()]
        segment = _segment(part, {*later, *outputs})
        with torch.inference_mode():
            segment.apply(values)
        made.append(segment)
    return tuple(made)


def _segment(part: Sequence[Instruction], needed: set[int]) -> Segment:
    own = {instruction.slot for instruction in part}
    inputs = tuple(sorted({slot for instruction in part for slot in instruction.call.takes()} - own))
    script = Script.of(inputs)
    for instruction in part:
        script.slots[instruction.slot] = instruction.call.write(script)
    given = tuple(sorted(own & needed))
    return Segment(script.finish(given), inputs, given, tuple(slot for slot in inputs if slot not in needed))
