"""Runs a merged plan as it says: every stage once, on what the stages before it gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from framepilot_app.graphs.engine import CompiledStage
from framepilot_app.graphs.forms import OwnParameters
from framepilot_app.graphs.merging import Merged
from framepilot_app.graphs.stage import Stage
from framepilot_app.graphs.torch_engine import as_image
from framepilot_app.graphs.torch_stage import compile_stage
from support.networks import finish

CPU = torch.device("cpu")


class MergedRun:
    """The stages of a plan, compiled by torch. `tensors` are the parameters by digest.

    `elsewhere` gives what is to run a stage instead, if anything is.
    """

    def __init__(
        self,
        merged: Merged,
        tensors: Mapping[str, torch.Tensor],
        elsewhere: Callable[[Stage], CompiledStage | None] = lambda _: None,
    ) -> None:
        self._merged = merged
        self._compiled: list[CompiledStage] = []
        self.runs = 0
        images = [torch.zeros(1, m.image.channels, m.image.height, m.image.width) for m in merged.members.values()]
        values = self._pictures(images)
        with OwnParameters(tensors) as parameters:
            for each in merged.stages:
                compiled = finish(compile_stage(each.stage, parameters, CPU))
                inputs = [values[name] for name in each.stage.inputs]
                finish(compiled.write_script(*inputs))
                values.update(zip(each.stage.outputs, compiled(*inputs), strict=True))
                self._compiled.append(elsewhere(each.stage) or compiled)

    def __call__(self, *batches: torch.Tensor) -> dict[str, tuple[torch.Tensor, ...]]:
        """Outputs by program, for a batch for each of them, in the order of their names; equal pictures are one."""
        values = self._pictures(batches)
        for each, compiled in zip(self._merged.stages, self._compiled, strict=True):
            self.runs += 1
            outputs = compiled(*[values[name] for name in each.stage.inputs])
            values.update(zip(each.stage.outputs, outputs, strict=True))
        return {
            name: tuple(values[output] for output in member.outputs) for name, member in self._merged.members.items()
        }

    def _pictures(self, batches) -> dict[str, torch.Tensor]:
        members = self._merged.members.values()
        return {
            member.picture: as_image(batch, member.image, CPU) for member, batch in zip(members, batches, strict=True)
        }


def same_bits(ours: tuple[torch.Tensor, ...], theirs: tuple[torch.Tensor, ...]) -> bool:
    """Whether these are the same outputs to the last bit; what is not a number is equal to itself."""
    return len(ours) == len(theirs) and all(
        a.shape == b.shape and torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))
        for a, b in zip(ours, theirs, strict=True)
    )
