"""One machine as a cluster: declarations are YAML files, instances are child processes, the state is a folder.

    <state>/services/<namespace>.<name>.yaml     what is declared, and the status that was reported of it
    <state>/runtimes/<namespace>.<name>.yaml     the same of runtimes
    <state>/profiles/<namespace>.<name>.yaml     measured profiles
    <state>/instances/<namespace>.<name>/        desired.json, cache/, log, log.1 (of the process before), lock
    <state>/instances/<namespace>.runtime.<name>/    the same of a runtime's

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
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from framepilot.contract.desired import DesiredState
from framepilot.resources.runtime import InferenceRuntime
from framepilot.resources.service import InferenceService
from framepilot_operator.cluster.declarations import read_declarations
from framepilot_operator.cluster.instance import Launch, LocalInstance
from framepilot_operator.cluster.port import (
    Change,
    ClusterError,
    DeclaredRuntime,
    DeclaredService,
    Instance,
    RemoveInstance,
    RemoveRuntime,
    RuntimeStatus,
    ServiceStatus,
    Snapshot,
    Status,
    Trigger,
    TriggerKind,
    WriteDesired,
    WriteProfile,
    WriteRuntime,
)
from framepilot_operator.cluster.prices import priced
from framepilot_operator.cluster.records import (
    read_declared,
    read_profiles,
    remove_declared,
    write_declared,
    write_profile,
)
from framepilot_operator.cluster.registry import R, Record, Registry, updated
from framepilot_operator.cluster.watching import edits
from framepilot_operator.manifests.owner import Owner, OwnerKind
from framepilot_operator.telemetry.status_client import StatusClient

TICK_S: Final = 1.0
STATUS_TIMEOUT_S: Final = 2.0
DRAIN_S: Final = 30.0
HEALTHY_AFTER_S: Final = 30.0
_RUNTIME: Final = "runtime"

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
        credentials: Path | None = None,
        page: bool = True,
        prices: Mapping[str, float] | None = None,
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
            credentials: the folder with a folder for each Secret that a service names.
            page: whether each instance has its web page.
            prices: what a device costs an hour, by its class.

        Raises:
            ClusterError: the state folder cannot be used, or another operator has it.
        """
        self._files = tuple(file.absolute() for file in files)
        self._services_folder = state.absolute() / "services"
        self._runtimes_folder = state.absolute() / "runtimes"
        self._profiles_folder = state.absolute() / "profiles"
        self._instances_folder = state.absolute() / "instances"
        try:
            for folder in (self._services_folder, self._runtimes_folder, self._profiles_folder, self._instances_folder):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock_state(state)
            self._registry = Registry(
                read_declared(self._services_folder, InferenceService),
                read_declared(self._runtimes_folder, InferenceRuntime),
            )
            self._stored_services = dict(self._registry.services)
            self._stored_runtimes = dict(self._registry.runtimes)
            self._measured = read_profiles(self._profiles_folder)
            found = sorted(folder.name for folder in self._instances_folder.iterdir() if folder.is_dir())
        except OSError as error:
            raise ClusterError(f"the state folder {state} cannot be used: {error}; choose another") from error
        self._now = now
        self._tick_s = tick_s
        self._prices = prices or {}
        start = tuple(command or (app_executable(),))
        self._launch = Launch(start, stdout, drain_s, healthy_after_s, jitter, now, credentials, page)
        self._client = StatusClient(STATUS_TIMEOUT_S)
        self._triggers: asyncio.Queue[Trigger | None] = asyncio.Queue()
        self._instances = {owner: self._instance(owner) for owner in map(_owner, found)}
        self._ending: dict[Owner, asyncio.Task[None]] = {}
        self._closing = asyncio.Event()

    async def observe(self) -> Snapshot:
        """Everything declared, every instance with its latest `/status`."""
        try:
            self._look_at_files()
        except OSError as error:
            raise ClusterError(f"the state folder cannot be written: {error}; free space or choose another") from error
        for owner, instance in self._instances.items():
            # A process left by an earlier operator is wanted only if somebody still declares its owner.
            if not instance.started and self._is_declared(owner) and instance.snapshot().desired is not None:
                instance.start()
        return Snapshot(
            services=tuple(
                DeclaredService(record.resource, record.uid, record.generation, record.changed_at)
                for record in self._registry.services.values()
            ),
            runtimes=tuple(
                DeclaredRuntime(record.resource, record.uid, record.generation)
                for record in self._registry.runtimes.values()
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
                    await self._write_desired(change.owner, change.document)
                case RemoveInstance():
                    self._remove(change.owner)
                case WriteProfile():
                    await asyncio.to_thread(write_profile, self._profiles_folder, change.profile)
                    self._measured[change.profile.key] = change.profile
                case WriteRuntime() | RemoveRuntime():
                    raise ClusterError("on one machine no device belongs to one instance, so none is shared implicitly")
        except OSError as error:
            raise ClusterError(f"the state folder cannot be written: {error}; free space or choose another") from error

    async def report(self, status: Status) -> None:
        """Store the status of a service or a runtime beside its declaration."""
        match status:
            case ServiceStatus() if status.service in self._registry.services:
                self._registry = self._registry.reported(status.service, status.status)
            case RuntimeStatus() if status.runtime in self._registry.runtimes:
                self._registry = self._registry.runtime_reported(status.runtime, status.status)
        try:
            self._store()
        except OSError as error:
            raise ClusterError(f"a status cannot be stored: {error}; free space or choose another folder") from error

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
        """Bring the folders of what is declared up to date: what did not change is not written."""
        _store(self._services_folder, self._stored_services, self._registry.services)
        _store(self._runtimes_folder, self._stored_runtimes, self._registry.runtimes)

    def _is_declared(self, owner: Owner) -> bool:
        declared = self._registry.services if owner.kind is OwnerKind.SERVICE else self._registry.runtimes
        return owner.key in declared

    def _instances_now(self) -> tuple[Instance, ...]:
        return tuple(priced(instance.snapshot(), self._prices) for instance in self._instances.values())

    async def _write_desired(self, owner: Owner, document: DesiredState) -> None:
        if owner in self._ending:
            raise ClusterError(f"{owner}: the instance is still ending; it is started again after that")
        instance = self._instances.get(owner) or self._instance(owner)
        await asyncio.to_thread(instance.write, document)
        self._instances[owner] = instance
        instance.start()

    def _remove(self, owner: Owner) -> None:
        instance = self._instances.pop(owner, None)
        if instance is not None:
            self._ending[owner] = asyncio.create_task(self._end(owner, instance))

    async def _end(self, owner: Owner, instance: LocalInstance) -> None:
        try:
            await instance.remove()
        except OSError as error:
            _log.warning("the folder of %s could not be removed: %s", owner, error)
        finally:
            del self._ending[owner]
            self._happened(owner)

    def _instance(self, owner: Owner) -> LocalInstance:
        folder = self._instances_folder / folder_name(owner)
        return LocalInstance(owner, folder, self._launch, self._client, lambda: self._happened(owner))

    def _happened(self, owner: Owner) -> None:
        self._triggers.put_nowait(Trigger(TriggerKind.INSTANCE, (str(owner),)))

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


def folder_name(owner: Owner) -> str:
    """The folder of an instance; no part of an owner's name can hold a dot."""
    kind = () if owner.kind is OwnerKind.SERVICE else (_RUNTIME,)
    return ".".join((owner.namespace, *kind, owner.name))


def _owner(folder_name: str) -> Owner:
    namespace, *kind, name = folder_name.split(".")
    return Owner(OwnerKind.RUNTIME if kind == [_RUNTIME] else OwnerKind.SERVICE, namespace, name)


def _store(folder: Path, stored: dict[str, Record[R]], records: Mapping[str, Record[R]]) -> None:
    for key, record in records.items():
        if stored.get(key) != record:
            write_declared(folder, record)
            stored[key] = record
    for key in stored.keys() - records.keys():
        remove_declared(folder, key)
        del stored[key]


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
