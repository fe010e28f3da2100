"""Batches follow what a real instance does: a real model on a device that something else has for most of the time."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from framepilot.contract.observed import ObservedModule
from framepilot.resources.plan import PlannedModule
from framepilot_operator.cluster.local import LocalCluster
from framepilot_operator.loop import run
from framepilot_operator.manifests.owner import Owner
from support.eventually import eventually_async
from support.samples.build import build

pytestmark = [pytest.mark.samples, pytest.mark.timeout(900)]

KEY = "cameras/lobby"
LOBBY = Owner.service(KEY)
PATIENCE_S = 240.0
HELD_S, FREE_S = 0.0475, 0.0025
"""A process that is stopped for 47.5 ms of every 50 takes about twenty times as long for everything: more than any busy
machine makes of the few batches that are measured at loading."""


def document(objective: str) -> dict[str, Any]:
    return {
        "apiVersion": "framepilot.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "lobby", "namespace": "cameras"},
        "spec": {
            "streams": [{"name": "s", "source": "test://160x120?fps=400", "delivery": "lossless", "realtime": False}],
            "modules": [{"name": "face", "model": {"name": "embedder", "version": "1"}}],
            "models": {"store": f"file://{build() / 'models'}"},
            "objective": {"latency": objective},
            "batching": {"mode": "Auto", "min": 1, "max": 16},
        },
    }


def declare(file: Path, objective: str) -> None:
    beside = file.with_suffix(".new")
    with beside.open("w") as opened:
        YAML(typ="safe").dump(document(objective), opened)
    beside.replace(file)


@contextmanager
def neighbour(pid: int) -> Iterator[None]:
    """Something else has the device for most of the time."""
    over = threading.Event()

    def hold() -> None:
        with suppress(ProcessLookupError):
            while not over.is_set():
                os.kill(pid, signal.SIGSTOP)
                over.wait(HELD_S)
                os.kill(pid, signal.SIGCONT)
                over.wait(FREE_S)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def test_batches_that_take_longer_because_of_a_neighbour_become_smaller_and_why_is_said(tmp_path: Path) -> None:
    file = tmp_path / "lobby.yaml"
    declare(file, "30s")
    cluster = LocalCluster([file], tmp_path / "state", page=False)
    loop = asyncio.create_task(run(cluster))
    seen = Seen(cluster)
    try:
        await eventually_async(lambda: seen.module() and seen.face.batches, "the first batches", PATIENCE_S)
        eight_ms = next(point.p99_ms for point in seen.face.profile if point.batch == 8)
        objective = f"{max(1, round(4 * eight_ms))}ms"
        declare(file, objective)
        # All of the objective is the budget of the one module.
        await eventually_async(lambda: seen.planned_face.budget == objective, "a plan", PATIENCE_S)
        await eventually_async(lambda: seen.face.batch.size == seen.planned_face.batch, "it in force", PATIENCE_S)
        before = seen.face.batch.size
        assert before > 1
        with neighbour(seen.pid):
            await eventually_async(
                lambda: seen.face.batch.size < before and "times as long as alone" in (seen.planned_face.tuning or ""),
                "smaller batches, and why",
                PATIENCE_S,
            )
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        await cluster.close()


class Seen:
    """What the cluster has now, without being looked at again."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster

    @property
    def pid(self) -> int:
        pid = self._cluster._instances[LOBBY]._process.pid
        assert pid is not None
        return pid

    def module(self) -> ObservedModule | None:
        instance = self._cluster._instances.get(LOBBY)
        observed = None if instance is None else instance.snapshot().observed
        return next((each for each in observed.modules), None) if observed is not None else None

    def planned(self) -> PlannedModule | None:
        record = self._cluster._registry.services.get(KEY)
        plan = None if record is None else record.resource.status.plan
        return None if plan is None else plan.modules[0]

    @property
    def face(self) -> ObservedModule:
        found = self.module()
        assert found is not None
        return found

    @property
    def planned_face(self) -> PlannedModule:
        found = self.planned()
        assert found is not None
        return found
