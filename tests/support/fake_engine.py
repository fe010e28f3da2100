"""Stands in for a compiled program where a test is about what surrounds it: queues, threads, lanes."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
import torch

from framepilot.contract.desired import Batch, DesiredModule, ModelRef
from framepilot.contract.events import FrameId
from framepilot.contract.observed import ProfilePoint
from framepilot_app.frames import Frame
from framepilot_app.models.spec import ClassificationOutput, InputSpec, ModelSpec
from framepilot_app.modules.graph import Graph, build
from framepilot_app.modules.journey import Journey
from framepilot_app.modules.lane import Lane, Version
from framepilot_app.modules.module import Module

Outputs = tuple[torch.Tensor, ...]


class FakeCompiled:
    """Calls `answer` with each batch; by default two logits that tell the item's first pixel."""

    def __init__(self, answer: Callable[[torch.Tensor], Outputs] | None = None) -> None:
        self.batches: list[int] = []
        self._answer = answer or _first_pixel

    @property
    def nbytes(self) -> int:
        return 0

    def held(self) -> tuple[()]:
        return ()

    def __call__(self, batch: torch.Tensor) -> Outputs:
        self.batches.append(len(batch))
        return self._answer(batch)

    def steps(self, batch: torch.Tensor) -> Generator[None, None, Outputs]:
        yield
        return self(batch)


def _first_pixel(batch: torch.Tensor) -> Outputs:
    return (torch.stack([batch[:, 0, 0, 0], -batch[:, 0, 0, 0]], dim=1),)


def version(compiled: FakeCompiled, name: str = "1", seconds: float = 0.001) -> Version:
    """A classifier of 4 x 4 pictures."""
    spec = ModelSpec(
        name="tiny",
        version=name,
        licence="none",
        input=InputSpec(width=4, height=4),
        output=ClassificationOutput(labels=("low", "high"), activation="none"),
        files={},
    )
    profile = (ProfilePoint(batch=1, p50_ms=seconds * 1000, p99_ms=seconds * 1000),)
    return Version(spec, name * 64, compiled, profile)


def lane(compiled: FakeCompiled, name: str = "1", *, module: str = "a", service: str = "s/s") -> Lane:
    """A lane of a version on the CPU."""
    return Lane(service, module, version(compiled, name), torch.device("cpu"))


def declared(name: str = "a", *, size: int = 4, wait_ms: float = 0, inputs: tuple[str, ...] = ()) -> DesiredModule:
    """A module's entry in a desired state."""
    model = ModelRef(name="tiny", version="1", uri="file:///tiny/1")
    return DesiredModule(
        name=name, inputs=inputs, budget_ms=1000, batch=Batch(size=size, max_wait_ms=wait_ms), model=model
    )


def module(compiled: FakeCompiled | None = None, *, size: int = 4, wait_ms: float = 0, service: str = "s/s") -> Module:
    """A module that serves."""
    made = Module(service, declared(size=size, wait_ms=wait_ms), lambda _: None)
    made.switch(lane(compiled or FakeCompiled(), service=service))
    return made


def graph(*modules: Module) -> Graph:
    """Modules side by side, all taking the frame."""
    return build([declared(m.name) for m in modules], {m.name: m for m in modules})


def frame(
    sequence: int = 0,
    *,
    stream: str = "door",
    service: str = "s/s",
    deadline: float = 1e12,
    value: int = 0,
    priority: int = 50,
) -> Frame:
    """A frame of one colour; its deadline is enforced."""
    return Frame(
        id=FrameId(service, stream, 1, sequence),
        image=np.full((8, 8, 3), value, np.uint8),
        captured_at=0.0,
        captured_unix=0.0,
        deadline=deadline,
        enforced=True,
        priority=priority,
    )


def journey(of: Frame, through: Graph) -> Journey:
    """A journey whose end nobody waits for."""
    return Journey(of, through, lambda *_: None)
