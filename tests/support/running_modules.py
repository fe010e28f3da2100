"""Modules on a real device thread and real workers, as the app wires them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Self

import torch

from framepilot.contract.desired import Delivery, DesiredModule, DesiredStream
from framepilot_app.modules.device import DeviceThread
from framepilot_app.modules.gate import Gate
from framepilot_app.modules.graph import build
from framepilot_app.modules.inlet import Inlet
from framepilot_app.modules.line import Line
from framepilot_app.modules.module import Module
from framepilot_app.modules.pipeline import Pipeline
from framepilot_app.modules.work import Workers


class RunningModules:
    """Those of one service; a context in which they run. They serve when a lane was switched to.

    `beside` is another service, entered before, on whose device and workers they run.
    """

    def __init__(
        self, service: str, entries: Sequence[DesiredModule], workers: int = 2, beside: RunningModules | None = None
    ) -> None:
        self.service = service
        self._beside = beside
        self.modules = {entry.name: Module(service, entry, lambda _: None) for entry in entries}
        self.graph = build(entries, self.modules)
        if beside is not None:
            self.workers, self.device, self.gate = beside.workers, beside.device, beside.gate
            self.pipeline = beside.pipeline
            return
        self.workers = Workers(workers)
        self.device = DeviceThread(
            torch.device("cpu"),
            lambda done: self.workers.submit_all([functools.partial(self.pipeline.batch_done, each) for each in done]),
            lambda dropped: self.workers.submit(lambda: self.pipeline.items_dropped(dropped)),
        )
        self.gate = Gate(self.device.longest_batch_s, self.workers.submit)
        self.pipeline = Pipeline(self.workers, self.device.wake)

    def __enter__(self) -> Self:
        if self._beside is None:
            self.workers.start()
            self.device.start()
        self.device.set_modules(self.all_modules())
        return self

    def __exit__(self, *_: object) -> None:
        if self._beside is None:
            self.device.stop()
            self.workers.stop()

    def all_modules(self) -> tuple[Module, ...]:
        """Its own and those of the services beside it."""
        return (*(self._beside.all_modules() if self._beside else ()), *self.modules.values())

    def inlet(self, line: Line, delivery: Delivery, objective_s: float, window: int) -> Inlet:
        """Where frames of a stream come in; at most `window` of them are under way."""
        return Inlet(
            self.service,
            DesiredStream(name="door", source="test://8x8", delivery=delivery),
            objective_s,
            line,
            lambda: self.graph,
            self.pipeline.start,
            lambda: window,
            self.gate,
        )
