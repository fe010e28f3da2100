"""Asks every running pod for its `/status`: often while something is under way, else now and then.

Each pod is asked by a task of its own, so that one that does not answer delays nobody; what was heard last is there at
once. Whoever is interested is told only when something changed that the loop acts on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from framepilot.contract.observed import ObservedState
from framepilot_operator.telemetry.status_client import StatusClient, StatusError

MOST_PER_S: Final = 200
"""How many processes where nothing happens are asked in a second."""


@dataclass(frozen=True, slots=True)
class Target:
    """A process to ask: of which owner (as people read it, and its uid), where, and its newest generation."""

    owner: str
    uid: str
    address: str
    generation: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What a process said of itself, and when; after that, why it does not answer any more."""

    observed: ObservedState | None = None
    at: float | None = None
    silence: str | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to ask, seconds."""

    settled_s: float
    eager_s: float


class StatusPolling:
    """The `/status` of all running processes. Used in one event loop."""

    def __init__(
        self, client: StatusClient, pace: Pace, changed: Callable[[str], None], now: Callable[[], float]
    ) -> None:
        """`changed` is called with the owner of a process."""
        self._client = client
        self._pace = pace
        self._changed = changed
        self._now = now
        self._targets: dict[str, Target] = {}
        self._heard: dict[str, Heard] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._told_anew: dict[str, asyncio.Event] = {}

    def follow(self, targets: Mapping[str, Target]) -> None:
        """Ask exactly these processes from now on; one that is started again is another process.

        Raises:
            Exception: what ended the asking, which goes on for ever.
        """
        for process in self._tasks.keys() - targets.keys():
            self._tasks.pop(process).cancel()
            self._heard.pop(process, None)
            self._told_anew.pop(process, None)
        for task in self._tasks.values():
            if task.done():
                task.result()
        for process, target in targets.items():
            if self._targets.get(process) == target:
                continue
            self._targets[process] = target
            if process not in self._tasks:
                self._told_anew[process] = asyncio.Event()
                self._tasks[process] = asyncio.create_task(self._poll(process))
            else:
                self._told_anew[process].set()
        self._targets = dict(targets)

    def heard(self, process: str) -> Heard:
        """What is known of a process."""
        return self._heard.get(process, Heard())

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = [*self._tasks.values()]
        self.follow({})
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(self, process: str) -> None:
        while True:
            target = self._targets[process]
            before = self.heard(process)
            after = await self._ask(target, before)
            self._heard[process] = after
            if _gist(before) != _gist(after):
                self._changed(target.owner)
            told_anew = self._told_anew[process]
            told_anew.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s(self._targets[process], after)):
                    await told_anew.wait()

    async def _ask(self, target: Target, before: Heard) -> Heard:
        try:
            observed = await self._client.fetch(target.address)
        except StatusError as error:
            return Heard(before.observed, before.at, str(error))
        if observed.instance_uid not in {None, target.uid}:
            # A pod's address is given to another pod once it is gone.
            return Heard(before.observed, before.at, f"at {target.address} another instance answers")
        return Heard(observed, self._now())

    def _wait_s(self, target: Target, heard: Heard) -> float:
        observed = heard.observed
        if observed is None or observed.generation < target.generation or heard.silence is not None:
            return self._pace.eager_s
        settled = all(module.settled for module in observed.modules)
        return max(self._pace.settled_s, len(self._targets) / MOST_PER_S) if settled else self._pace.eager_s


def _gist(heard: Heard) -> object:
    """What the loop acts on, without what changes with every batch."""
    state = heard.observed
    if state is None:
        return None
    return (
        state.instance_uid,
        state.generation,
        state.error,
        state.started_at,
        [(pipeline.service, pipeline.uid, pipeline.error, pipeline.objective_ms) for pipeline in state.pipelines],
        [(stream.service, stream.name, stream.state, stream.trouble) for stream in state.streams],
        [
            (
                (module.service, module.name, module.model, module.serving, module.profile),
                (module.batch.size, module.batch.limit, module.batch.max_wait_ms),
                module.rollout and (module.rollout.state, module.rollout.candidate, module.rollout.reason),
            )
            for module in state.modules
        ],
        state.shared,
    )
