"""A joint plan of random programs, which runs, and each of them alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from framepilot_app.frames import Image
from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.costs import CostModel
from framepilot_app.graphs.engine import Compiled
from framepilot_app.graphs.forms import OwnParameters
from framepilot_app.graphs.merging import Merged, merge
from framepilot_app.graphs.normal import normalise
from framepilot_app.graphs.program import Program
from framepilot_app.modules.joint import JointPlan
from framepilot_app.modules.module import Module
from framepilot_app.modules.preprocess import Prepared, Transform
from framepilot_app.modules.stages import ReadyStage, make_ready
from support.fake_engine import declared, lane
from support.networks import finish
from support.random_programs import CHANNELS, SIDE, Weights, by_digest, member, parameters_of

CPU = torch.device("cpu")
KEEP_ALL = CostModel(bytes_per_s=1e30, call_s=0)
"""Keeping a value costs nothing, so everything that is equal is shared."""


def as_input(pictures: Sequence[Image]) -> torch.Tensor:
    """A batch of these programs: they take more channels than pictures have."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(torch.float32) / 64 - 2


def noise(seed: int) -> Prepared:
    """A picture of random numbers."""
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, CHANNELS), np.uint8)
    return Prepared(pixels, Transform(1.0, 1.0, 0.0, 0.0, SIDE, SIDE), pixels)


class RunningStages:
    """Modules `s/<name>/m` of those programs that share anything with another one, in one plan."""

    def __init__(self, written: Mapping[str, tuple[Program, Weights]], costs: CostModel = KEEP_ALL) -> None:
        members = [member(f"s/{name}/m", *each) for name, each in written.items()]
        sharing = {name for each in merge(members, costs).stages if len(each.users) > 1 for name in each.users}
        self.merged: Merged = merge([each for each in members if each.name in sharing], costs)
        self.modules: dict[str, Module] = {}
        self.alone: dict[str, Compiled] = {}
        for name, (program, weights) in written.items():
            if f"s/{name}/m" in sharing:
                types = {key: each.type for key, each in parameters_of(weights).items()}
                self.alone[name] = finish(torch_engine.compile(normalise(program, types), weights, CPU))
                self.modules[name] = self._module(f"s/{name}")
        tensors = by_digest(*(weights for _, weights in written.values()))
        ticks = itertools.count()
        with OwnParameters(tensors) as parameters:
            self.ready: list[ReadyStage] = [
                finish(make_ready(each.stage, parameters, CPU, (1, 2), lambda: float(next(ticks))))
                for each in self.merged.stages
            ]
        lanes = {one.lane.name: one.lane for one in self.modules.values()}
        self.plan = JointPlan(self.merged, lanes, self.ready, CPU)

    def outputs(self, name: str, pictures: Sequence[Prepared]) -> list[torch.Tensor]:
        """What a program gives alone, at this batch."""
        return [*self.alone[name](as_input([each.picture for each in pictures]))]

    def _module(self, service: str) -> Module:
        made = Module(service, declared("m"), lambda _: None)
        made.switch(lane(None, module="m", service=service))
        made.lane.normalise = as_input
        return made
