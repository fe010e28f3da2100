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
        shape = (-1, image.channels, image.height, image.width)
        return cls({image.name: shape}, kernels_of(program, fusable), program.outputs)

    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that it takes, once each."""
        return tuple(dict.fromkeys(name for kernel in self.kernels for name in kernel.node.parameters()))
