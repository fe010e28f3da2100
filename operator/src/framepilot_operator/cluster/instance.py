"""One instance on this machine: a folder that holds its desired state and cache, a child process, its `/status`."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framepilot.contract.desired import DesiredState
from framepilot.contract.document import DocumentError
from framepilot.contract.observed import ObservedState
from framepilot_operator.cluster.child_log import ChildLog
from framepilot_operator.cluster.desired_file import read_desired, store_next
from framepilot_operator.cluster.port import Instance
from framepilot_operator.cluster.process import ChildProcess, ChildSpec
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.telemetry.status_client import StatusClient, StatusError

POLL_S: Final = 0.5
EAGER_POLL_S: Final = 0.1

MALLOC: Final = "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296"
"""Keeps glibc from giving every large batch's memory back to the system and faulting it in again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """How instances are started here. `stdout` is the file descriptor that results of stdout sinks go to.

    `credentials` is the folder with a folder for each Secret; None: there is none. `page`: each instance has its web
    page.
    """

    command: tuple[str, ...]
    stdout: int | None
    drain_s: float
    healthy_after_s: float
    jitter: Callable[[], float]
    now: Callable[[], float]
    credentials: Path | None = None
    page: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """What a process said of itself, and when."""

    pid: int
    observed: ObservedState
    at: float


class LocalInstance:
    """One instance, from its first desired state to its removal. Used in one event loop."""

    def __init__(
        self, owner: Owner, folder: Path, launch: Launch, client: StatusClient, changed: Callable[[], None]
    ) -> None:
        self.owner = owner
        self._folder = folder
        self._client = client
        self._changed = changed
        self._now = launch.now
        self._page = launch.page
        self._heard: Heard | None = None
        self._silence: str | None = None
        self._damage: str | None = None
        self._desired: DesiredState | None = None
        try:
            self._desired = read_desired(self._desired_file)
        except DocumentError as error:
            self._damage = str(error)
        self._process = ChildProcess(_child(folder, self._desired_file, launch), changed, launch.jitter)
        self._polling: asyncio.Task[None] | None = None

    @property
    def _desired_file(self) -> Path:
        return self._folder / "desired.json"

    @property
    def started(self) -> bool:
        """Whether its process is being kept alive."""
        return self._polling is not None

    def start(self) -> None:
        """Keep its process running from now on, and ask it how it does."""
        if self._polling is None:
            (self._folder / "cache").mkdir(parents=True, exist_ok=True)
            self._process.start()
            self._polling = asyncio.create_task(self._poll())

    def write(self, document: DesiredState) -> None:
        """Store a desired state as the next generation.

        Raises:
            OSError: it could not be stored; the old one is in force.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        heard = None if self._heard is None else self._heard.observed
        known = [state.generation for state in (self._desired, heard) if state is not None]
        self._desired = store_next(self._desired_file, document, max(known, default=0))
        self._damage = None

    def snapshot(self) -> Instance:
        """The instance as the loop sees it."""
        desired = self._desired
        running = self._process.running
        # What an earlier process said is not true of this one.
        heard = self._heard if self._heard is not None and self._heard.pid == self._process.pid else None
        return Instance(
            owner=self.owner,
            uid=desired.instance_uid if desired is not None else "",
            desired=desired,
            observed=None if heard is None else heard.observed,
            observed_at=None if heard is None else heard.at,
            running=running,
            restarts=self._process.restarts,
            reason=self._damage or (self._silence if running else self._process.reason),
        )

    async def stop(self) -> None:
        """End its process gracefully; the folder stays."""
        await self._process.stop()
        if self._polling is not None:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling
            self._polling = None

    async def remove(self) -> None:
        """End its process gracefully and delete its folder."""
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self._folder)

    async def _poll(self) -> None:
        while True:
            pid, address = self._process.pid, self._process.address
            if pid is not None:
                await self._ask(pid, address)
            await asyncio.sleep(POLL_S if self._up_to_date(pid) else EAGER_POLL_S)

    def _up_to_date(self, pid: int | None) -> bool:
        """Whether this process has answered since it took over what it was told last."""
        if self._heard is None or self._heard.pid != pid or self._desired is None:
            return False
        return self._heard.observed.generation == self._desired.generation

    async def _ask(self, pid: int, address: str | None) -> None:
        if address is None:
            self._silence = "it is starting"
            return
        try:
            observed = await self._client.fetch(address)
        except StatusError as error:
            self._silence = str(error)
            return
        before, self._heard = self._heard, Heard(pid, observed, self._now())
        self._silence = None
        if self._page and (before is None or before.pid != pid):
            _log.info("%s shows what it does at http://%s/", self.owner, address)
        if before is None or before.pid != pid or _gist(before.observed) != _gist(observed):
            self._changed()


def _gist(state: ObservedState) -> object:
    """What the loop acts on, without what changes with every batch."""
    return (
        state.generation,
        state.error,
        [(pipeline.service, pipeline.uid, pipeline.error, pipeline.objective_ms) for pipeline in state.pipelines],
        [(stream.service, stream.name, stream.state, stream.trouble) for stream in state.streams],
        [
            (
                module.service,
                module.name,
                module.serving,
                module.batch,
                module.rollout and module.rollout.state,
                module.profile,
            )
            for module in state.modules
        ],
        state.shared,
    )


def _child(folder: Path, desired_file: Path, launch: Launch) -> ChildSpec:
    cache = folder / "cache"
    return ChildSpec(
        command=(
            *launch.command,
            *("--desired", str(desired_file)),
            *("--cache", str(cache)),
            *("--listen", "127.0.0.1:0"),
            *("--parent-pid", str(os.getpid())),
            *(() if launch.credentials is None else ("--credentials", str(launch.credentials))),
            *(() if launch.page else ("--page", "off")),
        ),
        environment=_environment(os.environ),
        log=ChildLog(folder / "log"),
        lock=folder / "lock",
        listen=cache / "listen",
        stdout=launch.stdout,
        drain_s=launch.drain_s,
        healthy_after_s=launch.healthy_after_s,
    )


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What was set by hand comes after ours, and so wins."""
    tunables = ":".join(part for part in (MALLOC, inherited.get("GLIBC_TUNABLES")) if part)
    return {**inherited, "GLIBC_TUNABLES": tunables}
