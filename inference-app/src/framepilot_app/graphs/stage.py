"""A stage: kernels that run one after the other, what they take and what they give. What an engine compiles. Pure.

A whole program is one stage, which takes the picture. Where programs have a beginning in common, that is a stage, too,
and so is what each of them has behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from framepilot_app.graphs.fusion import Kernel
from framepilot_app.graphs.pieces import kernels_of
from framepilot_app.graphs.program import Program
from framepilot_app.graphs.work import item_bytes


@dataclass(frozen=True, slots=True)
class Stage:
    """Kernels in an order in which they can run.

    `inputs` are names and shapes (-1 for the batch; empty if unknown), in the order in which values are given.
    """

    inputs: Mapping[str, tuple[int, ...]]
    kernels: tuple[Kernel, ...]
    outputs: tuple[str, ...]

    @classmethod
    def whole(cls, program: Program, fusable: frozenset[str]) -> Stage:
        """All of a program; `fusable` names the convolutions that oneDNN will run."""
        image = program.input
        return cls({image.name: image.shape}, kernels_of(program, fusable), program.outputs)

    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that it takes, once each."""
        return tuple(dict.fromkeys(name for kernel in self.kernels for name in kernel.node.parameters()))

    def last_uses(self) -> dict[str, list[str]]:
        """For each kernel, the values that it is the last one to take, or that nobody takes."""
        dead: dict[str, list[str]] = {}
        needed = set(self.outputs)
        for kernel in reversed(self.kernels):
            last = {*kernel.inputs(), kernel.name} - needed
            dead[kernel.name] = sorted(last)
            needed |= last
        return dead

    @property
    def largest_item_bytes(self) -> int:
        """The most bytes that its values take at one moment, for one item; of an unknown shape, none."""
        sizes = {name: item_bytes(shape) for name, shape in self.inputs.items()}
        dead = self.last_uses()
        there = largest = sum(sizes.values())
        for kernel in self.kernels:
            sizes[kernel.name] = item_bytes(kernel.shape)
            there += sizes[kernel.name]
            largest = max(largest, there)
            there -= sum(sizes[name] for name in dead[kernel.name])
        return largest
