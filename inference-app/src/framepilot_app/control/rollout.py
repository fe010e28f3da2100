"""Performs one module's rollouts: what the pure state machine's states say, and what came of it fed back into it.

Fetching is I/O and runs on a helper thread; loading, warming and checking are steps of the device thread. A newer wish
cancels a rollout that is under way; the version that serves goes on whatever happens.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

import torch

from framepilot.contract.desired import DesiredModule, ModelRef
from framepilot.contract.observed import ObservedRollout
from framepilot.rollouts.machine import Delayed, Event, Failed, Fetched, Loaded, Rollout, Switched, advance, begin
from framepilot.rollouts.state import RolloutState
from framepilot_app.control.journal import Journal, VerdictEntry
from framepilot_app.control.slow_versions import SlowVersions
from framepilot_app.graphs.engine import EngineError
from framepilot_app.models.model import Model, ModelError, UnavailableError
from framepilot_app.models.store import ModelStore
from framepilot_app.modules.contest import Contest
from framepilot_app.modules.device import DeviceThread
from framepilot_app.modules.footprint import needs
from framepilot_app.modules.headroom import Headroom, Needs
from framepilot_app.modules.lane import Lane, Version
from framepilot_app.modules.loading import Candidate, device_clock, load
from framepilot_app.modules.loadings import Loading
from framepilot_app.modules.memory import tidy_soon
from framepilot_app.modules.module import Module
from framepilot_app.modules.rivals import Trial, asked, open_rivals, stopwatch
from framepilot_app.supervision.background import in_background

RETRY_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits between attempts to get a model, or while nothing serves to get any; the last one repeats."""

log = logging.getLogger(__name__)


class ModuleRollouts:
    """The rollouts of one module, one at a time. Used on the event loop."""

    def __init__(
        self,
        uid: str,
        module: Module,
        store: ModelStore,
        device: DeviceThread,
        journal: Journal,
        on_change: Callable[[], None],
        allow: Callable[[str, int], None],
        headroom: Headroom,
    ) -> None:
        """`uid` is that of the module's service; `allow` refuses, by an `UnavailableError`, a model with too many bytes
        of parameters for it, and `headroom` one for which the instance has too little memory."""
        self._allow = allow
        self._headroom = headroom
        self._slow = SlowVersions(module)
        self._uid = uid
        self._module = module
        self._store = store
        self._device = device
        self._journal = journal
        self._on_change = on_change
        self._wish: tuple[ModelRef, int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._given_up = threading.Event()
        self._rollout: Rollout | None = None
        self._said: Rollout | None = None
        self._loading: Loading | None = None
        self._candidate_bytes = 0
        self._load_ms: float | None = None
        self._pause_ms: float | None = None

    def want(self, declared: DesiredModule) -> None:
        """Bring the module to the declared model. The same wish again changes nothing; another cancels what runs."""
        wish = (declared.model, declared.attempt)
        if wish == self._wish:
            return
        served = self._module.lane.version if self._module.lane else None
        pinned = self._wish is not None and _only_pins(self._wish, wish, served)
        self._wish = wish
        if pinned:
            return
        self.cancel()
        self._said = None
        self._task = asyncio.create_task(self._bring(declared), name=f"rollout {self._module.name}")

    def cancel(self) -> None:
        """Give up what is under way."""
        self._given_up.set()
        self._given_up = threading.Event()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._loading is not None:
            self._loading.cancelled = True
            self._device.wake()
            self._loading = None

    @property
    def parameter_bytes(self) -> int:
        """Bytes of the parameters of the version that serves, or of one that is being loaded if it has more."""
        lane = self._module.lane
        return max(lane.version.compiled.nbytes if lane is not None else 0, self._candidate_bytes)

    def observed(self) -> ObservedRollout | None:
        """What `/status` says of the last rollout."""
        # While nothing serves it is tried over and over: what came of it last is told, not every step of every try.
        rollout = self._said if self._module.lane is None and self._said is not None else self._rollout
        if rollout is None:
            return None
        return ObservedRollout(
            state=rollout.state,
            candidate=rollout.candidate.version,
            sha256=rollout.sha256,
            attempt=rollout.attempt,
            reason=rollout.reason,
            since=rollout.since,
            pause_ms=self._pause_ms,
            longest_step_ms=self._loading.longest_s * 1000 if self._loading else None,
            load_ms=self._load_ms,
        )

    async def _bring(self, declared: DesiredModule) -> None:
        fallback = declared.fallback
        candidates = (*([fallback] if fallback not in {None, declared.model} else []), declared.model)
        waits = iter(RETRY_S)
        # While nothing serves, whatever can be had is good.
        while self._module.lane is None:
            for model in candidates:
                if self._module.lane is None:
                    await self._roll_out(model, declared)
            if self._module.lane is None:
                await asyncio.sleep(next(waits, RETRY_S[-1]))
        if self._serves(declared.model):
            if not self._is_about(declared.model, declared.attempt):
                self._rollout = None
            return
        waits = iter(RETRY_S)
        while not await self._roll_out(declared.model, declared):  # noqa: ASYNC110 the store does not call back
            await asyncio.sleep(next(waits, RETRY_S[-1]))

    def _is_about(self, model: ModelRef, attempt: int) -> bool:
        rollout = self._rollout
        return rollout is not None and (rollout.candidate, rollout.attempt) == (model, attempt)

    def _serves(self, model: ModelRef) -> bool:
        lane = self._module.lane
        if lane is None or (lane.version.spec.name, lane.version.spec.version) != (model.name, model.version):
            return False
        if lane.version.asked is not model.engine:
            return False
        return model.sha256 is None or model.sha256 == lane.version.sha256

    async def _roll_out(self, model: ModelRef, declared: DesiredModule) -> bool:
        """Whether there is a verdict; False: the model could not be had now."""
        self._load_ms = self._pause_ms = self._loading = None
        if self._rollout is None or self._rollout.settled or not self._is_about(model, declared.attempt):
            self._rollout = begin(model, declared.attempt, time.time())
        try:
            fetched = await asyncio.to_thread(self._store.fetch, model, self._given_up)
            which, nbytes = f"{fetched.spec.name} {fetched.spec.version}", fetched.weights.stat().st_size
            self._allow(which, nbytes)
            self._candidate_bytes = nbytes
            self._slow.check_known(which, fetched.sha256, model.engine)
            if (refused_before := self._refused_before(fetched.sha256, declared.attempt)) is not None:
                self._advance(Fetched(fetched.sha256, refused_before))
                return True
            candidate, needed = await asyncio.to_thread(self._read, fetched, model)
            with self._headroom.held(which, needed, self._module):
                self._advance(Fetched(fetched.sha256))
                self._check_task(fetched.spec.output.task)
                await self._load(candidate)
        except UnavailableError as error:
            self._advance(Delayed(str(error)))
            return False
        except (ModelError, EngineError) as error:
            self._advance(Failed(str(error)))
        except Exception as error:
            log.exception("the rollout of %s failed", model.version)
            self._advance(Failed(f"unexpected {type(error).__name__}: {error}"))
        finally:
            self._candidate_bytes = 0
            if model == declared.model:
                self._said = self._rollout
            self._on_change()
        return True

    def _read(self, fetched: Model, ref: ModelRef) -> tuple[Candidate, Needs]:
        """The model with the engine that is asked for, and what it takes of memory; not called on the event loop."""
        store, device, batch = self._device.parameters, self._device.device, self._module.batch
        candidate = Candidate.read(fetched, store, ref.engine, device)
        return candidate, needs(candidate, store, device, max(batch.size, batch.limit))

    def _refused_before(self, sha256: str, attempt: int) -> str | None:
        # While nothing serves there is nothing to protect: try again, the reason may have been the machine's.
        if self._module.lane is None:
            return None
        return self._journal.refusal(self._uid, self._module.name, sha256, attempt)

    def _check_task(self, task: str) -> None:
        """A version may change how a task is done, not the task: the modules behind it depend on it."""
        lane = self._module.lane
        if lane is not None and lane.version.spec.output.task != task:
            raise ModelError(
                f"{self._module.name}",
                f"the new version's task is {task}, the serving one's {lane.version.spec.output.task}; "
                "declare it as a module of its own",
            )

    async def _load(self, candidate: Candidate) -> None:
        batch = self._module.batch
        loop = asyncio.get_running_loop()
        rivals = await self._open_rivals(candidate, candidate.trial(batch.size, batch.limit))

        def switch(version: Version) -> None:
            self._slow.check(version)
            before = time.perf_counter()
            self._module.switch(Lane(self._module.service, self._module.name, version, self._device.device))
            self._pause_ms = (time.perf_counter() - before) * 1000

        def report(event: Event) -> None:
            if isinstance(event, Loaded):
                self._load_ms = loading.spent_s * 1000
            # The time is taken here, on the device thread, where it happened.
            at = time.time()
            loop.call_soon_threadsafe(self._advance, event, at, loading)

        clock = stopwatch() if rivals.contenders else device_clock(self._device.device)
        steps = load(candidate, self._device.device, batch.size, batch.limit, clock, switch, report, rivals)
        self._loading = loading = Loading(steps, time.monotonic())
        self._device.load(loading)
        await asyncio.wrap_future(loading.done)
        # `report` came by way of the loop: let its last event arrive.
        while self._rollout is not None and not self._rollout.settled:  # noqa: ASYNC110 a turn or two of the loop
            await asyncio.sleep(0)
        # Of the engines that were tried, one is left.
        tidy_soon()

    async def _open_rivals(self, candidate: Candidate, trial: Trial) -> Contest:
        """The engines beside torch's, opened at low priority, unless they start threads that would keep it."""
        engines, device, given_up = asked(candidate.engine, self._device.device), self._device.device, self._given_up
        if not engines:
            return Contest()
        form_file = functools.partial(self._store.form_file, candidate.model, given_up)
        opening = functools.partial(open_rivals, engines, form_file, trial, device, given_up)
        alone = torch.get_num_threads() == 1
        return await asyncio.wrap_future(in_background(opening, "engines", low_priority=alone))

    def _advance(self, event: Event, at: float | None = None, loading: Loading | None = None) -> None:
        if self._rollout is None or (loading is not None and loading is not self._loading):
            return
        before, self._rollout = self._rollout, advance(self._rollout, event, time.time() if at is None else at)
        if self._rollout == before:
            # It was said already.
            return
        if self._rollout.settled:
            self._keep(self._rollout)
        level = logging.WARNING if isinstance(event, Failed | Delayed) else logging.INFO
        log.log(
            level,
            "rollout",
            extra={
                "service": self._module.service,
                "module_name": self._module.name,
                "candidate": self._rollout.candidate.version,
                "state": self._rollout.state.value,
                "reason": self._rollout.reason,
            },
        )
        if isinstance(event, Switched):
            self._on_change()

    def _keep(self, rollout: Rollout) -> None:
        """Journal a verdict, so that a restart does not forget it."""
        if rollout.sha256 is None:
            # There is no digest to hold it against: the same version may be there in a minute.
            return
        entry = VerdictEntry(
            service=self._module.service,
            uid=self._uid,
            module=self._module.name,
            version=rollout.candidate.version,
            sha256=rollout.sha256,
            attempt=rollout.attempt,
            verdict=RolloutState(rollout.state),
            reason=rollout.reason,
            at=rollout.since,
        )
        self._journal.write(entry)


def _only_pins(before: tuple[ModelRef, int], after: tuple[ModelRef, int], served: Version | None) -> bool:
    """Whether the new wish only writes down the digest of what serves already."""
    if served is None or before[1] != after[1]:
        return False
    unpinned = after[0].model_copy(update={"sha256": before[0].sha256})
    return unpinned == before[0] and after[0].sha256 == served.sha256
