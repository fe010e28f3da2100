"""Which engine runs a stage: the fastest, if all modules that use it ask for `auto`.

A plan begins on torch, so that sharing begins at once. Then, for one stage after the other, a thread beside opens the
other engines and measures all of them. One that is faster, and with which each model's example still comes out as it
was packed, takes torch's place between two batches.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Final

import torch

from framepilot.contract.observed import ObservedEngine
from framepilot_app.graphs.engine import CompiledStage, EngineError, Outputs, first_line
from framepilot_app.graphs.merging import SharedStage
from framepilot_app.graphs.stage import Stage
from framepilot_app.graphs.stage_engines import STAGE_ENGINES
from framepilot_app.graphs.torch_engine import as_image
from framepilot_app.models.contents import Contents
from framepilot_app.models.model import Model, ModelError
from framepilot_app.modules.contest import Contender, Contest
from framepilot_app.modules.device import DeviceThread
from framepilot_app.modules.footprint import stage_needs
from framepilot_app.modules.headroom import Headroom
from framepilot_app.modules.joint import JointPlan
from framepilot_app.modules.lane import opened
from framepilot_app.modules.loading import TORCH, check
from framepilot_app.modules.loadings import Loading
from framepilot_app.modules.memory import tidy_soon
from framepilot_app.modules.stage_contest import StageContest, hold
from framepilot_app.modules.stages import ReadyStage
from framepilot_app.supervision.background import in_background

SHORTEST_S: Final = 2e-4
"""A stage that takes less for one picture is not tried elsewhere: to call another engine costs as much."""

StageFile = Callable[[Stage, Model, Contents, threading.Event], Path]
"""Gives the ONNX form of a stage; of a model that has its parameters, and what is in the model's file of them."""

log = logging.getLogger(__name__)


async def on_device(device: DeviceThread, steps: Generator[None, None, None]) -> None:
    """Have the device thread take these steps in the gaps between batches."""
    loading = Loading(steps, time.monotonic())
    device.load(loading)
    await asyncio.wrap_future(loading.done)


class StageEngines:
    """Brings the stages of the plan in force to their engines, one at a time. Used on the event loop."""

    def __init__(self, device: DeviceThread, stage_file: StageFile, headroom: Headroom) -> None:
        self.exchanging = asyncio.Lock()
        """Held while a plan is made and exchanged, and while a stage is: neither changes what the other goes by."""
        self._device = device
        self._stage_file = stage_file
        self._headroom = headroom
        self._sizes: Mapping[str, int] = {}
        self._given_up = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def follow(self, sizes: Mapping[str, int]) -> None:
        """A plan is in force; `sizes` are the batch sizes of its modules, by name."""
        self._sizes = sizes
        if (self._task is None or self._task.done()) and self._next() is not None:
            self._task = asyncio.create_task(self._bring(), name="stage engines")

    def close(self) -> None:
        """Follow no more."""
        self._given_up.set()
        if self._task is not None:
            self._task.cancel()

    async def unfit(self, plan: JointPlan) -> frozenset[ReadyStage]:
        """Stages of a plan that are not on torch, and with which a model that is new to them does not agree."""
        found = set()
        for shared, ready in zip(plan.merged.stages, plan.ready, strict=True):
            if ready.engine != TORCH:
                try:
                    ready.agreed |= await self._agreed(plan, shared, ready, ready.compiled, ready.agreed)
                except (EngineError, ModelError):
                    found.add(ready)
        return frozenset(found)

    async def _bring(self) -> None:
        """Until every stage of the plan in force is where it is fastest."""
        while (found := self._next()) is not None:
            plan, shared, ready = found
            try:
                await self._choose(plan, shared, ready)
            except Exception as error:  # noqa: BLE001 whatever it is, torch goes on
                ready.engines = _not_tried(first_line(error))
                # Its frames hold what was opened.
                error.__traceback__ = None
                log.warning("a stage stays on torch", extra={"error": first_line(error)})
            tidy_soon()

    def _next(self) -> tuple[JointPlan, SharedStage, ReadyStage] | None:
        """A stage of the plan in force that may choose, and has not."""
        plan = self._device.together.plan
        if plan is None or self._device.device.type != "cpu":
            return None
        stages = zip(plan.merged.stages, plan.ready, strict=True)
        return next(
            ((plan, shared, ready) for shared, ready in stages if not ready.engines and plan.chooses(shared)), None
        )

    async def _choose(self, plan: JointPlan, shared: SharedStage, ready: ReadyStage) -> None:
        seconds = ready.measured.seconds(1)
        if seconds < SHORTEST_S:
            ready.engines = _not_tried(f"to call it costs as much as the {seconds * 1000:.2f} ms that torch takes")
            return
        model = opened(plan.lanes[shared.users[0]]).model
        sizes = [size for size, _ in ready.measured.points]
        holding = functools.partial(
            hold, ready.stage, ready.compiled, sizes, functools.partial(self._file, ready.stage, model), self._given_up
        )
        alone = torch.get_num_threads() == 1
        with self._headroom.held("a stage", stage_needs(ready, max(sizes)), ready):
            found = await asyncio.wrap_future(in_background(holding, "stage engines", low_priority=alone))
        async with self.exchanging:
            await self._decide(ready, found)

    def _file(self, stage: Stage, model: Model) -> Path:
        try:
            contents = self._device.parameters.attach(model).contents
        except ModelError as error:
            raise EngineError(str(error)) from error
        return self._stage_file(stage, model, contents, self._given_up)

    async def _decide(self, ready: ReadyStage, found: StageContest) -> None:
        """The fastest with which all examples come out; nothing if the plan has changed so that it must not choose."""
        plan = self._device.together.plan
        shared = None if plan is None else plan.using(ready)
        if plan is None or shared is None or not plan.chooses(shared):
            return
        contest = found.contest
        size = max(self._sizes.get(name, 1) for name in shared.users)
        while contest.contenders and (winner := contest.fastest(size)).name != TORCH:
            compiled = found.compiled[winner.name]
            try:
                agreed = await self._agreed(plan, shared, ready, compiled)
            except (EngineError, ModelError) as error:
                contest.drop(winner, str(error))
                continue
            await on_device(self._device, _move(ready, compiled, winner, contest, agreed))
            return
        ready.engines = _of_torch(contest)

    async def _agreed(
        self,
        plan: JointPlan,
        shared: SharedStage,
        ready: ReadyStage,
        compiled: CompiledStage,
        known: frozenset[str] = frozenset(),
    ) -> frozenset[str]:
        """The models that use a stage, but for those that are known to: their examples come out as they were packed.

        Raises:
            EngineError: `compiled`, which runs in the place of the stage, or another one cannot be run.
            ModelError: an example does not come out, or is away.
        """
        models = {opened(plan.lanes[name]).model.sha256: name for name in shared.users}
        asked = frozenset(models) - known
        for sha256 in asked:
            model = opened(plan.lanes[models[sha256]]).model
            example = await asyncio.to_thread(model.example)
            run = _run_with(plan, models[sha256], example.input, ready, compiled)
            await on_device(self._device, check(model.spec, example, run))
        return asked


def _run_with(
    plan: JointPlan, name: str, batch: torch.Tensor, instead_of: ReadyStage, compiled: CompiledStage
) -> Generator[None, None, Outputs]:
    """What a program of the plan gives for a batch if one stage runs otherwise."""
    member = plan.merged.members[name]
    values = {member.picture: as_image(batch, member.image, torch.device("cpu"))}
    for index in plan.stages_of(plan.lanes[name]):
        ready = plan.ready[index]
        stage = compiled if ready is instead_of else ready.compiled
        outputs = yield from stage.steps(*[values[each] for each in ready.stage.inputs])
        values.update(zip(ready.stage.outputs, outputs, strict=True))
    return tuple(values[each] for each in member.outputs)


def _move(
    ready: ReadyStage, compiled: CompiledStage, winner: Contender, contest: Contest, agreed: frozenset[str]
) -> Generator[None, None, None]:
    yield
    ready.move(compiled, winner, agreed)
    ready.engines = contest.outcome(winner)


def _of_torch(contest: Contest) -> tuple[ObservedEngine, ...]:
    """All engines, where torch stays."""
    torch_ = next((each for each in contest.contenders if each.name == TORCH), None)
    return contest.refused if torch_ is None else contest.outcome(torch_)


def _not_tried(reason: str) -> tuple[ObservedEngine, ...]:
    return tuple(ObservedEngine(name=engine.value, reason=reason) for engine in STAGE_ENGINES)
