"""Small classifiers of 16 x 16 pictures that may have a backbone in common, and modules that they serve."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from framepilot.contract.desired import Engine
from framepilot.scheduling.latency import batch_sizes
from framepilot_app.graphs import aten
from framepilot_app.graphs.merging import merge
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, ParameterRef, Program
from framepilot_app.models.folder import write_folder
from framepilot_app.models.model import Example, Model
from framepilot_app.models.parameters import ParameterStore, Pooled
from framepilot_app.models.verify import open_model
from framepilot_app.modules.joint import JointPlan
from framepilot_app.modules.lane import Lane, Version
from framepilot_app.modules.loading import Candidate, load
from framepilot_app.modules.module import Module
from framepilot_app.modules.preprocess import Prepared, Transform
from framepilot_app.modules.queue import Item
from framepilot_app.modules.stages import make_ready
from support.fake_engine import declared, frame, graph, journey
from support.networks import finish
from support.tiny_model import TINY_SPEC

SIDE = 16
WIDTH = 16
GAIN = 3000.0
CPU = torch.device("cpu")
AS_IT_IS = Transform(1.0, 1.0, 0.0, 0.0, SIDE, SIDE)
BACKBONE_BYTES = 4 * (3 * 9 * WIDTH + WIDTH * 9 * WIDTH)
"""Of the parameters of one backbone."""
HEAD_BYTES = 4 * (2 * WIDTH + 2)
"""Of those of a head."""

_digits = itertools.count()


def write_headed(
    store: Path, name: str, version: str = "1", *, backbone: int = 0, head: int = 0, overflows: bool = False
) -> Model:
    """Write and open `<store>/<name>/<version>`: what has the same numbers has the same parameters.

    One that overflows gives infinity for white pictures, and numbers for black ones.
    """

    def numbers(seed: int, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) / 8

    def convolution(of: str, call: str) -> Node:
        arguments = (NodeRef(of), ParameterRef(f"{call} weight"), None, (1, 1), (1, 1), (1, 1), False, (0, 0), 1)
        return Node(call, "aten.convolution.default", arguments, {}, (-1, WIDTH, SIDE, SIDE))

    weights = {
        "first weight": numbers(backbone, WIDTH, 3, 3, 3),
        "second weight": numbers(backbone, WIDTH, WIDTH, 3, 3),
        "head weight": numbers(1000 + head, 2, WIDTH) * (GAIN if overflows else 1),
        "head bias": torch.zeros(2) if overflows else numbers(2000 + head, 2),
    }
    grown = Node("grown", "aten.exp.default", (NodeRef("scores"),), {}, (-1, 2))
    program = Program(
        input=ImageInput("image", 3, SIDE, SIDE),
        nodes=(
            convolution("image", "first"),
            Node("bent", "aten.relu.default", (NodeRef("first"),), {}, (-1, WIDTH, SIDE, SIDE)),
            convolution("bent", "second"),
            Node("mean", "aten.mean.dim", (NodeRef("second"), (2, 3)), {}, (-1, WIDTH)),
            Node(
                "scores",
                "aten.linear.default",
                (NodeRef("mean"), ParameterRef("head weight"), ParameterRef("head bias")),
                {},
                (-1, 2),
            ),
            *([grown] if overflows else []),
        ),
        outputs=("grown" if overflows else "scores",),
        parameters=tuple(weights),
    )
    picture = TINY_SPEC.input.model_copy(update={"width": SIDE, "height": SIDE})
    spec = TINY_SPEC.model_copy(update={"name": name, "version": version, "input": picture})
    image = numbers(7, 1, 3, SIDE, SIDE)
    folder = store / name / version
    write_folder(folder, spec, program, weights, Example(image, aten.run(program, weights, image)))
    return open_model(folder)


def loaded(model: Model, parameters: ParameterStore, limit: int = 4, engine: Engine = Engine.AUTO) -> Version:
    """The version, as a rollout loads it where torch alone is tried."""
    versions: list[Version] = []
    candidate = Candidate.read(model, parameters, engine)
    finish(load(candidate, CPU, limit, limit, time.perf_counter, versions.append, lambda _event: None))
    return versions[0]


def serving(
    model: Model,
    parameters: ParameterStore,
    service: str,
    name: str = "a",
    *,
    size: int = 4,
    wait_ms: float = 0,
    compiled: Callable[[torch.Tensor], tuple[torch.Tensor, ...]] | None = None,
    engine: Engine = Engine.AUTO,
) -> Module:
    """A module that serves it; `compiled` runs instead of its program where it runs alone."""
    module = Module(service, declared(name, size=size, wait_ms=wait_ms), lambda _: None)
    version = loaded(model, parameters, engine=engine)
    if compiled is not None:
        version = replace(version, compiled=compiled)
    module.switch(Lane(service, name, version, CPU))
    return module


def joint_plan(parameters: ParameterStore, modules: Sequence[Module]) -> JointPlan:
    """What these modules have in common, ready to run."""
    lanes = {module.lane.name: module.lane for module in modules}
    opened = {name: lane.version.opened for name, lane in lanes.items()}
    merged = merge(replace(each.member, name=name) for name, each in opened.items())
    pooled = Pooled([parameters.attach(each.model) for each in opened.values()])
    ready = [finish(make_ready(each.stage, pooled, CPU, batch_sizes(4), time.perf_counter)) for each in merged.stages]
    return JointPlan(merged, lanes, ready, CPU)


def picture(value: int) -> Prepared:
    """Of one colour; another one each time."""
    pixels = np.full((SIDE, SIDE, 3), value, np.uint8)
    return Prepared(pixels, AS_IT_IS, pixels)


def push(
    module: Module,
    *pictures: Prepared,
    deadline: float = 1e12,
    arrived_at: float = 0.0,
    priority: int = 50,
) -> list[Item]:
    """Items of these pictures into the module's lane."""
    through = graph(module)
    items = []
    for each in pictures:
        of = frame(next(_digits), service=module.service, deadline=deadline, priority=priority)
        items.append(Item(journey(of, through), through.nodes[0], 0, each, deadline, arrived_at, 0.0))
    module.enter(len(items)).push(items)
    return items


def scores(module: Module, pictures: Sequence[Prepared]) -> torch.Tensor:
    """What its model says of them, run alone."""
    lane = module.lane
    batch = lane.normalise([each.picture for each in pictures])
    return lane.version.compiled(batch)[0]
