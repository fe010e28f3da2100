"""One machine as a cluster: declarations are YAML files, instances are child processes, the state is a folder.

    <state>/services/<namespace>.<name>.yaml     what is declared, and the status that was reported of it
    <state>/profiles/<namespace>.<name>.yaml     measured profiles
    <state>/instances/<namespace>.<name>/        desired.json, cache/, log, log.1 (of the process before), lock

The same loop runs on it as on Kubernetes, so there is no decision here: what the loop wants is done, what happens is
told. One operator at a time has the state folder.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

from framepilot.contract.desired import DesiredState
from framepilot_operator.cluster.declarations import read_declarations
from framepilot_operator.cluster.instance import Launch, LocalInstance
from framepilot_operator.cluster.port import (
    Change,
    ClusterError,
    DeclaredService,
    Instance,
    RemoveInstance,
    ServiceStatus,
    Snapshot,
    Trigger,
    TriggerKind,
    WriteDesired,
    WriteProfile,
)
from framepilot_operator.cluster.records import (
    file_name,
    read_profiles,
    read_services,
    remove_service,
    write_profile,
    write_service,
)
from framepilot_operator.cluster.registry import Registry, updated
from framepilot_operator.cluster.watching import edits
from framepilot_operator.telemetry.status_client import StatusClient

TICK_S: Final = 1.0
STATUS_TIMEOUT_S: Final = 2.0
DRAIN_S: Final = 30.0
HEALTHY_AFTER_S: Final = 30.0

_log = logging.getLogger(__name__)


class LocalCluster:
    """Services of some YAML files, run on this machine. Create and use it inside one event loop, and close it."""

    def __init__(
        self,
        files: Sequence[Path],
        state: Path,
        *,
        command: Sequence[str] | None = None,
        stdout: int | None = None,
        drain_s: float = DRAIN_S,
        healthy_after_s: float = HEALTHY_AFTER_S,
        tick_s: float = TICK_S,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the state folder; nothing is started yet.

        Args:
            files: YAML files, absolute or relative to the current folder; one may come into being later.
            state: the folder of the state; created when it is missing.
            command: how to start the inference app, without its options; by default the one installed beside Python.
            stdout: the file descriptor for results of stdout sinks; by default the operator's own stdout.
            drain_s: how long an instance may take to end gracefully.
            healthy_after_s: a process that ran for this long is started again without a longer back-off.
            tick_s: how often to look again when nothing seems to happen.
            jitter: random numbers in 0..1.
            now: the time, Unix seconds.

        Raises:
            ClusterError: the state folder cannot be used, or another operator has it.
        """
        self._files = tuple(file.absolute() for file in files)
        self._services_folder = state.absolute() / "services"
        self._profiles_folder = state.absolute() / "profiles"
        self._instances_folder = state.absolute() / "instances"
        try:
            for folder in (self._services_folder, self._profiles_folder, self._instances_folder):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock_state(state)
            self._registry = Registry(read_services(self._services_folder))
            self._stored = dict(self._registry.services)
            self._measured = read_profiles(self._profiles_folder)
            found = sorted(folder.name for folder in self._instances_folder.iterdir() if folder.is_dir())
        except OSError as error:
            raise ClusterError(f"the state folder {state} cannot be used: {error}; choose another") from error
        self._now = now
        self._tick_s = tick_s
        self._launch = Launch(tuple(command or (app_executable(),)), stdout, drain_s, healthy_after_s, jitter, now)
        self._client = StatusClient(STATUS_TIMEOUT_S)
        self._triggers: asyncio.Queue[Trigger | None] = asyncio.Queue()
        self._instances = {name: self._instance(name) for name in (folder.replace(".", "/", 1) for folder in found)}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._closing = asyncio.Event()

    async def observe(self) -> Snapshot:
        """Everything declared, every instance with its latest `/status`."""
        try:
            self._look_at_files()
        except OSError as error:
            raise ClusterError(f"the state folder cannot be written: {error}; free space or choose another") from error
        for name, instance in self._instances.items():
            # A process left by an earlier operator is wanted only if somebody still declares its service.
            if not instance.started and name in self._registry.services and instance.snapshot().desired is not None:
                instance.start()
        return Snapshot(
            services=tuple(
                DeclaredService(record.resource, record.uid, record.generation, record.changed_at)
                for record in self._registry.services.values()
            ),
            instances=self._instances_now(),
            # What a person declares stands first.
            profiles=(*self._registry.profiles, *self._measured.values()),
            problems=self._registry.problems,
        )

    async def apply(self, change: Change) -> None:
        """Make one change; ending an instance goes on in the background."""
        try:
            match change:
                case WriteDesired():
                    await self._write_desired(change.instance, change.document)
                case RemoveInstance():
                    self._remove(change.instance)
                case WriteProfile():
                    await asyncio.to_thread(write_profile, self._profiles_folder, change.profile)
                    self._measured[change.profile.key] = change.profile
        except OSError as error:
            raise ClusterError(f"the state folder cannot be written: {error}; free space or choose another") from error

    async def report(self, status: ServiceStatus) -> None:
        """Store the status of a service beside its declaration."""
        record = self._registry.services.get(status.service)
        if record is None or record.resource.status == status.status:
            return
        try:
            self._registry = self._registry.reported(status.service, status.status)
            self._store()
        except OSError as error:
            raise ClusterError(f"the status of {status.service} cannot be stored: {error}") from error

    async def triggers(self) -> AsyncIterator[Trigger]:
        """Edits of the files, what happens to instances, and a regular tick; for one consumer."""
        watching = [asyncio.create_task(self._watch_files()), asyncio.create_task(self._tick())]
        try:
            while (trigger := await self._triggers.get()) is not None:
                yield trigger
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def close(self) -> None:
        """End every instance gracefully, all at once, and give the state folder back; desired states stay."""
        self._closing.set()
        self._triggers.put_nowait(None)
        await asyncio.gather(*(instance.stop() for instance in self._instances.values()), *self._ending.values())
        await self._client.close()
        os.close(self._lock)

    def _look_at_files(self) -> None:
        self._registry = updated(self._registry, [read_declarations(file) for file in self._files], self._now())
        self._store()

    def _store(self) -> None:
        """Bring the folder of services up to date: what did not change is not written."""
        services = self._registry.services
        for key, record in services.items():
            if self._stored.get(key) != record:
                write_service(self._services_folder, record)
                self._stored[key] = record
        for key in self._stored.keys() - services.keys():
            remove_service(self._services_folder, key)
            del self._stored[key]

    def _instances_now(self) -> tuple[Instance, ...]:
        return tuple(instance.snapshot() for instance in self._instances.values())

    async def _write_desired(self, name: str, document: DesiredState) -> None:
        if name in self._ending:
            raise ClusterError(f"{name}: the instance is still ending; it is started again after that")
        instance = self._instances.get(name) or self._instance(name)
        await asyncio.to_thread(instance.write, document)
        self._instances[name] = instance
        instance.start()

    def _remove(self, name: str) -> None:
        instance = self._instances.pop(name, None)
        if instance is not None:
            self._ending[name] = asyncio.create_task(self._end(name, instance))

    async def _end(self, name: str, instance: LocalInstance) -> None:
        try:
            await instance.remove()
        except OSError as error:
            _log.warning("the folder of %s could not be removed: %s", name, error)
        finally:
            del self._ending[name]
            self._happened(name)

    def _instance(self, name: str) -> LocalInstance:
        folder = self._instances_folder / file_name(name)
        return LocalInstance(name, folder, self._launch, self._client, lambda: self._happened(name))

    def _happened(self, name: str) -> None:
        self._triggers.put_nowait(Trigger(TriggerKind.INSTANCE, (name,)))

    async def _watch_files(self) -> None:
        try:
            async for files in edits(self._files, self._closing):
                self._triggers.put_nowait(Trigger(TriggerKind.DECLARATIONS, files))
        except (OSError, RuntimeError) as error:
            _log.warning("files cannot be watched (%s): edits are noticed within %g s", error, self._tick_s)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            self._triggers.put_nowait(Trigger(TriggerKind.TICK))


def app_executable() -> str:
    """The inference app: installed beside this Python, else whatever PATH has."""
    beside = Path(sys.executable).with_name("framepilot-app")
    return str(beside) if beside.exists() else shutil.which("framepilot-app") or "framepilot-app"


def _lock_state(state: Path) -> int:
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ClusterError(
            f"another operator has the state folder {state}; end it, or choose another folder"
        ) from error
    return descriptor
