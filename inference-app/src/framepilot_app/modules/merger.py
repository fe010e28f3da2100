"""Keeps what is merged on the device that of the versions that serve, beside what runs.

When a version begins to serve or goes, a plan of all programs is made anew on a thread of its own; stages that no plan
had before are compiled and warmed on the device thread in the gaps between batches; and the new plan takes the place of
the old one between two batches. Until then a new version runs by itself, and so it does if the plan cannot be made.
A plan is made for torch; stages that may run on other engines are moved to them later (`stage_engines.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from framepilot.scheduling.latency import batch_sizes
from framepilot_app.graphs.engine import first_line
from framepilot_app.graphs.merging import Merged, SharedStage, merge
from framepilot_app.models.parameters import Pooled
from framepilot_app.modules.device import DeviceThread
from framepilot_app.modules.joint import JointPlan
from framepilot_app.modules.lane import Lane, opened
from framepilot_app.modules.loading import TORCH, device_clock
from framepilot_app.modules.memory import tidy_soon
from framepilot_app.modules.module import Module
from framepilot_app.modules.stage_engines import StageEngines, on_device
from framepilot_app.modules.stages import Contents, ReadyStage, choose, contents_of, make_ready

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan that is known, and what is missing of it: stages that nobody has compiled yet, and their parameters."""

    merged: Merged
    known: dict[Contents, ReadyStage]
    missing: tuple[SharedStage, ...]
    parameters: Pooled


class Sharing(Protocol):
    """Sees to it that what modules have in common runs once, or does not. Used on the event loop."""

    def follow(self, modules: Iterable[Module]) -> None:
        """These modules are there; called often."""

    def close(self) -> None:
        """Follow no more."""

    def alone(self, module: Module) -> str | None:
        """Why a module shares no stage with others; None: it does, or there is nobody to share with."""


class NoSharing:
    """Every module runs its own program."""

    def __init__(self) -> None:
        self._several = False

    def follow(self, modules: Iterable[Module]) -> None:
        """These modules are there; called often."""
        self._several = len([*modules]) > 1

    def close(self) -> None:
        """Follow no more."""

    def alone(self, module: Module) -> str | None:
        """Why a module shares no stage with others; None: there is nobody to share with."""
        return "sharing is switched off: --no-share" if self._several and module.lane is not None else None


class Merger:
    """Makes a plan of what serves, and brings it into force."""

    def __init__(self, device: DeviceThread, engines: StageEngines) -> None:
        self._device = device
        self._engines = engines
        self._seen: list[tuple[Module, Lane | None]] = []
        self._modules: dict[str, Module] = {}
        self._lanes: dict[str, Lane] = {}
        self._task: asyncio.Task[None] | None = None
        self._failed: str | None = None

    def follow(self, modules: Iterable[Module]) -> None:
        """These modules are there; called often."""
        seen = [(module, module.lane) for module in modules]
        if seen == self._seen:
            return
        self._seen = seen
        # Where one was declared again while its predecessor ends, the new one comes first.
        self._modules = {f"{module.service}/{module.name}": module for module, _ in reversed(seen)}
        lanes = {
            name: module.lane
            for name, module in self._modules.items()
            if module.lane is not None and module.lane.version.opened is not None
        }
        if lanes != self._lanes:
            self._lanes = lanes
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._bring(), name="merge")

    def close(self) -> None:
        """Follow no more."""
        self._engines.close()
        if self._task is not None:
            self._task.cancel()

    def alone(self, module: Module) -> str | None:
        """Why a module shares no stage with others; None: it does, or there is nobody to share with."""
        lane, together = module.lane, self._device.together
        if lane is None or len(self._modules) < 2:
            return None
        if lane in together.expelled:
            return f"it failed in a batch with others: {together.expelled[lane]}"
        if together.plan is not None and together.plan.partners(lane):
            return None
        if lane.version.opened is None:
            engine = lane.version.engines[0].name if lane.version.engines else TORCH
            return f"it runs on {engine}: only programs that torch may and can run are opened up"
        if self._task is not None and not self._task.done():
            return "what it shares is being prepared"
        failed = together.failed or self._failed
        if failed is not None:
            return f"what it shares could not be run: {failed}"
        return "no other model here begins with the same arithmetic and parameters"

    async def _bring(self) -> None:
        """Until the plan in force is that of what serves."""
        lanes: dict[str, Lane] | None = None
        while lanes != self._lanes:
            lanes = self._lanes
            try:
                await self._exchange(lanes)
                self._failed = None
            except Exception as error:  # noqa: BLE001 whatever it is, what runs goes on by the plan that is there
                self._failed = first_line(error)
                # Its frames hold lanes and what was made so far, and they hold it: nothing of that would be freed.
                error.__traceback__ = None
                log.warning("programs could not be merged; what runs goes on", extra={"error": self._failed})

    async def _exchange(self, lanes: Mapping[str, Lane]) -> None:
        batches = {name: self._modules[name].batch for name in lanes}
        limits = {name: batch.limit for name, batch in batches.items()}
        async with self._engines.exchanging:
            plan = await self._plan(lanes, limits)
            unfit = await self._engines.unfit(plan) if plan is not None else None
            if unfit:
                plan = await self._plan(lanes, limits, unfit)
            await on_device(self._device, self._put_in_force(plan))
        tidy_soon()
        self._engines.follow({name: batch.size for name, batch in batches.items()})

    async def _plan(
        self, lanes: Mapping[str, Lane], limits: Mapping[str, int], unfit: frozenset[ReadyStage] = frozenset()
    ) -> JointPlan | None:
        """What these run together, ready to run; None: nothing. Without the stages that are unfit."""
        planned = await asyncio.to_thread(self._planned, lanes, unfit)
        await on_device(self._device, self._compile(planned, limits))
        merged = planned.merged
        stages = [planned.known[contents_of(each.stage)] for each in merged.stages]
        members = {name: lanes[name] for name in merged.members}
        before = self._device.together.plan
        return JointPlan(merged, members, stages, self._device.device, before) if members else None

    def _planned(self, lanes: Mapping[str, Lane], unfit: frozenset[ReadyStage]) -> Planned:
        # Programs that share nothing with anybody run as they do alone.
        merged = merge(replace(opened(lane).member, name=name) for name, lane in lanes.items()).sharing()
        plan = self._device.together.plan
        known = {} if plan is None else {contents_of(each.stage): each for each in plan.ready if each not in unfit}
        for each in merged.stages:
            ready = known.get(contents_of(each.stage))
            # With one who asks for torch it must be torch's again.
            if ready is not None and ready.engine != TORCH and not choose(lanes[name] for name in each.users):
                del known[contents_of(each.stage)]
        missing = tuple(each for each in merged.stages if contents_of(each.stage) not in known)
        # Whoever uses a stage has all of its parameters.
        models = {each.users[0]: opened(lanes[each.users[0]]).model for each in missing}
        return Planned(merged, known, missing, Pooled(map(self._device.parameters.attach, models.values())))

    def _compile(self, planned: Planned, limits: Mapping[str, int]) -> Generator[None, None, None]:
        """Compile and warm what is missing, on the device thread."""
        device = self._device.device
        for each in planned.missing:
            sizes = batch_sizes(max(limits[name] for name in each.users))
            made = yield from make_ready(each.stage, planned.parameters, device, sizes, device_clock(device))
            planned.known[contents_of(each.stage)] = made

    def _put_in_force(self, plan: JointPlan | None) -> Generator[None, None, None]:
        yield
        self._device.together.exchange(plan)
