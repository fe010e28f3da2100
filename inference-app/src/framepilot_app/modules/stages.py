"""Stages on the device: compiled, warmed and measured in steps, and what they have done since."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field

import torch

from framepilot.contract.desired import Engine
from framepilot.contract.observed import ObservedEngine, ObservedStage, StagePoint
from framepilot.scheduling.latency import LatencyModel
from framepilot_app.graphs.engine import CompiledStage, EngineError, Outputs
from framepilot_app.graphs.forms import Parameters
from framepilot_app.graphs.merging import Merged, SharedStage
from framepilot_app.graphs.script import Function
from framepilot_app.graphs.stage import Stage
from framepilot_app.graphs.torch_stage import TorchStage, compile_stage
from framepilot_app.modules.contest import Contender
from framepilot_app.modules.lane import Lane
from framepilot_app.modules.loading import TORCH, timed

Contents = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""What a stage takes, runs and gives: stages of equal contents are one program."""


def contents_of(stage: Stage) -> Contents:
    """By what a stage is found again in the next plan."""
    return tuple(stage.inputs), tuple(kernel.name for kernel in stage.kernels), stage.outputs


def choose(lanes: Iterable[Lane]) -> bool:
    """Whether what these share may run on another engine than torch: all of them leave it open."""
    return all(lane.version.asked is Engine.AUTO for lane in lanes)


@dataclass(eq=False, slots=True, weakref_slot=True)
class ReadyStage:
    """A stage that can run. What it counts only rises; it is written by the device thread and read by others."""

    stage: Stage
    compiled: CompiledStage
    latency: LatencyModel
    engine: str = TORCH
    engines: tuple[ObservedEngine, ...] = ()
    """Those that were tried, once they were."""
    agreed: frozenset[str] = frozenset()
    """Digests of the models whose examples come out with an engine that is not torch's."""
    batches: int = 0
    pictures: int = 0
    items: int = 0
    seconds: float = 0.0
    measured: LatencyModel = field(init=False)
    """What `latency` was before it ran for anybody."""

    def __post_init__(self) -> None:
        self.measured = self.latency

    @property
    def script(self) -> Function | None:
        """What runs it, if that is a script of torch's."""
        return self.compiled.script if isinstance(self.compiled, TorchStage) else None

    @property
    def form(self) -> str | None:
        """Stages of equal forms differ in their parameters only; None: it is no script."""
        script = self.script
        return None if script is None else script.form

    def move(self, compiled: CompiledStage, winner: Contender, agreed: frozenset[str]) -> None:
        """Another engine runs it from the next batch on."""
        self.compiled, self.engine, self.agreed = compiled, winner.name, agreed
        self.latency = self.measured = LatencyModel.measured(
            (size, point.p50_ms / 1000) for size, point in winner.points.items()
        )

    def ran(self, pictures: int, seconds: float) -> None:
        """It ran on so many pictures, and the device took so long."""
        self.batches += 1
        self.pictures += pictures
        self.seconds += seconds
        self.latency = self.latency.observed(pictures, seconds)

    def served(self, items: int) -> None:
        """So many items have what it gives, by whichever batch."""
        self.items += items

    def observed(self, shared: SharedStage, merged: Merged) -> ObservedStage:
        """What `/status` says of it."""
        steps = [merged.members[shared.users[0]].steps[kernel.name] for kernel in shared.stage.kernels]
        flops = sum(step.flops for step in steps)
        shares = tuple(round(flops / max(merged.members[name].flops, 1), 4) for name in shared.users)
        return ObservedStage(
            modules=shared.users,
            nodes=sum(step.nodes for step in steps),
            share=min(shares),
            shares=shares,
            points=tuple(StagePoint(pictures=size, ms=seconds * 1000) for size, seconds in self.measured.points),
            engine=self.engine,
            engines=self.engines,
            batches=self.batches,
            pictures=self.pictures,
            items=self.items,
            seconds=self.seconds,
        )


def make_ready(
    stage: Stage, parameters: Parameters, device: torch.device, sizes: Sequence[int], clock: Callable[[], float]
) -> Generator[None, None, ReadyStage]:
    """Compile a stage, and run and measure it at these sizes, in small steps.

    Raises:
        EngineError: a parameter cannot be had, torch cannot prepare or run a node, or a value has not one row for each
            picture.
    """
    compiled = yield from compile_stage(stage, parameters, device)
    if device.type == "cpu":
        yield from compiled.write_script(*zeros(stage, 1, device))
    points: list[tuple[int, float]] = []
    for size in sizes:
        inputs = zeros(stage, size, device)
        # Operator by operator: a whole batch of a size that is not in force yet would hold up those that are due.
        outputs = yield from compiled.steps(*inputs)
        check_rows(outputs, size)
        del outputs
        points.append((size, (yield from timed(compiled.steps(*inputs), clock))))
    return ReadyStage(stage, compiled, LatencyModel.measured(points))


def check_rows(outputs: Outputs, size: int) -> None:
    """Refuse what cannot be kept by pictures.

    Raises:
        EngineError: a value has not one row for each picture.
    """
    if any(output.shape[:1] != (size,) for output in outputs):
        shapes = [tuple(output.shape) for output in outputs]
        raise EngineError(f"what would be shared has not one row for each picture: {size} of them give {shapes}")


def zeros(stage: Stage, size: int, device: torch.device) -> list[torch.Tensor]:
    """What a stage takes for so many pictures, laid out as it will be."""
    tensors = []
    for shape in stage.inputs.values():
        tensor = torch.zeros(size, *shape[1:], device=device)
        tensors.append(tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor)
    return tensors
