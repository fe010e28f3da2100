"""Modules that share what they have in common on a real device thread, and come and go."""

from __future__ import annotations

import asyncio
from typing import Self

import pytest
import torch

from framepilot.contract.desired import Engine
from framepilot_app.graphs.engine import EngineError
from framepilot_app.models.model import Model
from framepilot_app.modules.device import BatchDone, DeviceThread
from framepilot_app.modules.headroom import Headroom, Room
from framepilot_app.modules.lane import Lane
from framepilot_app.modules.merger import Merger
from framepilot_app.modules.module import Module
from framepilot_app.modules.stage_engines import StageEngines, StageFile
from support.eventually import eventually, eventually_async
from support.headed import CPU, loaded, picture, push, serving
from support.one_by_one import one_by_one


def without_files(*_: object) -> None:
    raise EngineError("there are no files here")


class Site:
    """A context in which a device runs, a merger, and modules that come and go. Results are checked as they come.

    `stage_file` is what stages get their ONNX forms from; without, they have none.
    """

    def __init__(self, stage_file: StageFile = without_files) -> None:
        self.pushed = self.right = self.wrong = 0
        self.identical = 0
        """Of the right ones, those that are what the program alone gives, to the bit."""
        self.device = DeviceThread(CPU, one_by_one(self._on_done), lambda late: pytest.fail(f"late: {late}"))
        self.rooms: tuple[Room, ...] = ()
        """Limits of memory that there are."""
        self.headroom = Headroom(0.1, lambda: self.rooms, self.device.parameters.lacking)
        self.engines = StageEngines(self.device, stage_file, self.headroom)
        self.merger = Merger(self.device, self.engines)
        self.modules: dict[str, Module] = {}

    def __enter__(self) -> Self:
        self.device.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.merger.close()
        self.device.stop()

    @property
    def stages(self) -> list[tuple[str, ...]]:
        """Whose the stages in force are."""
        plan = self.device.together.plan
        return [] if plan is None else [each.users for each in plan.merged.stages]

    async def add(self, service: str, model: Model, name: str = "a", engine: Engine = Engine.AUTO) -> Module:
        """A module that serves now."""
        made = serving(model, self.device.parameters, service, name, engine=engine)
        self.modules[f"{service}/{name}"] = made
        await self.settled()
        return made

    async def swap(self, service: str, model: Model) -> None:
        """Another version serves."""
        module = self.modules[f"{service}/a"]
        module.switch(Lane(service, "a", loaded(model, self.device.parameters), CPU))
        await self.settled()

    async def remove(self, service: str) -> None:
        """It ends with its last item."""
        module = self.modules.pop(f"{service}/a")
        eventually(lambda: module.queued == 0)
        module.retire()
        await self.settled()

    def follow(self) -> None:
        """As the controller does."""
        self.device.set_modules(tuple(self.modules.values()))
        self.merger.follow(self.modules.values())

    async def settled(self) -> None:
        """The plan is that of what serves, or cannot be made."""
        self.follow()
        task = self.merger._task
        if task is not None:
            await asyncio.wait_for(asyncio.shield(task), 60)

    def alone(self, service: str, name: str = "a") -> str | None:
        return self.merger.alone(self.modules[f"{service}/{name}"])

    def feed(self) -> None:
        """A picture for everybody, the same one."""
        common = picture(self.pushed % 256)
        for module in [*self.modules.values()]:
            push(module, common)
            self.pushed += 1
        self.device.wake()

    async def all_right(self) -> None:
        """Everything that was pushed has come back, right."""
        await eventually_async(lambda: self.right + self.wrong == self.pushed, "all items to be back")
        assert self.wrong == 0

    def _on_done(self, done: BatchDone) -> None:
        # Outputs are those of the version whose lane it was, whatever serves meanwhile.
        lane = done.lane
        alone = lane.version.compiled(lane.normalise([item.prepared.picture for item in done.items]))[0]
        good = not isinstance(done.outputs, Exception) and torch.allclose(
            torch.from_numpy(done.outputs[0]), alone, atol=1e-5
        )
        self.right += len(done.items) * good
        self.identical += len(done.items) * (good and torch.equal(torch.from_numpy(done.outputs[0]), alone))
        self.wrong += len(done.items) * (not good)
        done.module.leave(lane, len(done.items))
