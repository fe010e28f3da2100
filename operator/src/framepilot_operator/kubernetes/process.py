"""One operator process, from its start to its exit status: who runs when, and who ends before whom.

Only the holder of the lease watches and reconciles; the others wait, and answer probes. Whatever ends by itself ends
the process: Kubernetes starts it again, and nothing that matters is remembered here. When it is told to stop, the pass
under way is finished first, then the lease is given back, then everything else ends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from framepilot_operator.cluster.device_watch import DeviceWatch
from framepilot_operator.cluster.kube_api import KubeApi
from framepilot_operator.cluster.port import Cluster
from framepilot_operator.kubernetes.connection import GuardedClient, connection_info, load_configuration
from framepilot_operator.kubernetes.handlers import watch
from framepilot_operator.kubernetes.health import Health
from framepilot_operator.kubernetes.leader import Leadership, LeadershipLostError, LeaseSettings
from framepilot_operator.kubernetes.measured import Measured
from framepilot_operator.kubernetes.metrics import Metrics
from framepilot_operator.kubernetes.web import serve
from framepilot_operator.loop import run as reconcile
from framepilot_operator.telemetry.prometheus_server import PrometheusServer
from framepilot_operator.telemetry.prometheus_watch import watch_prometheus

LAST_PASS_WITHIN_S: Final = 3.0
END_WITHIN_S: Final = 3.0

Tasks = Collection[asyncio.Task[Any]]

_log = logging.getLogger(__name__)


class WatchedCluster(Cluster, Protocol):
    """A cluster that is told what happened, and that can be closed."""

    def changed(self, kind: str, subject: str, resource_version: str | None) -> None:
        """An object of this kind (a plural), `<namespace>/<name>`, has this version now; None: it is gone."""

    async def close(self) -> None:
        """End the triggers."""


MakeCluster = Callable[[KubeApi], WatchedCluster]


@dataclass(frozen=True, slots=True)
class Options:
    """Where to listen, which namespaces to watch (none: all), which lease decides, and which Prometheus is asked.

    No `lease`: this is the only operator. No `prometheus`: none is asked.
    """

    host: str
    port: int
    namespaces: tuple[str, ...]
    lease: LeaseSettings | None
    prometheus: PrometheusServer | None = None


class Process:
    """One run of the operator on a cluster."""

    def __init__(self, options: Options, make: MakeCluster, now: Callable[[], float] = time.time) -> None:
        self._options = options
        self._make = make
        self._now = now
        self._stop = asyncio.Event()
        self._metrics = Metrics()
        self._health = Health()

    async def run(self) -> int:
        """Wait for the lease, then work until told to stop or until it is lost; the exit status.

        Raises:
            ConfigException: it is not known which API server to use.
            OSError: the address cannot be listened on.
        """
        self._take_signals()
        configuration = await load_configuration()
        runner, address = await serve(self._health, self._metrics.registry, self._options.host, self._options.port)
        _log.info("listening on %s, API server %s", address, configuration.host)
        try:
            if self._options.lease is None:
                return await self._work(configuration, None)
            async with ApiClient(configuration) as client:
                leadership = Leadership(KubeApi(client, self._metrics.api_requests), self._options.lease)
                return await self._work(configuration, leadership) if await self._acquired(leadership) else 0
        finally:
            await runner.cleanup()

    async def _acquired(self, leadership: Leadership) -> bool:
        """Wait for the lease; False if the process was told to stop first."""
        self._health.waiting(lambda: leadership.trouble)
        acquiring = asyncio.create_task(leadership.acquire())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait((acquiring, stopping), return_when=asyncio.FIRST_COMPLETED)
        await _end((acquiring, stopping))
        if self._stop.is_set():
            await leadership.release()
            return False
        return True

    async def _work(self, configuration: Configuration, leadership: Leadership | None) -> int:
        async with GuardedClient(configuration, leadership.check if leadership else _alone) as client:
            cluster = self._make(KubeApi(client, self._metrics.api_requests))
            devices = DeviceWatch(cluster, watch_prometheus(self._options.prometheus), self._now)
            passes = Measured(devices, self._metrics, now=self._now)
            self._health.working(passes)
            self._metrics.is_leader.set(1)
            stopping = asyncio.create_task(self._stop.wait())
            looping = asyncio.create_task(reconcile(passes, self._now), name="the loop")
            others = [
                *await watch(cluster.changed, lambda: connection_info(configuration), self._options.namespaces),
                *([] if leadership is None else [asyncio.create_task(leadership.keep(), name="the lease")]),
            ]
            self._take_signals()
            done, _ = await asyncio.wait((stopping, looping, *others), return_when=asyncio.FIRST_COMPLETED)
            self._health.ending()
            failed = done - {stopping}
            for task in failed:
                _log.error("ending, because %s ended: %s", task.get_name(), _why(task))
            if failed:
                await _end((looping,))
            else:
                _log.info("ending; the pass under way is finished first")
            await cluster.close()
            await asyncio.wait((looping,), timeout=LAST_PASS_WITHIN_S)
            await _end((looping,))
            if leadership is not None and not any(_lost(task) for task in failed):
                await leadership.release()
            await _end((stopping, *others))
            return 1 if failed else 0

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)


async def _end(tasks: Tasks) -> None:
    """Cancel these; what does not end in time is left to the end of the process."""
    for task in tasks:
        task.cancel()
    _, left = await asyncio.wait(tasks, timeout=END_WITHIN_S)
    if left:
        _log.warning("did not end in time: %s", ", ".join(sorted(task.get_name() for task in left)))


def _why(task: asyncio.Task[Any]) -> str:
    error = None if task.cancelled() else task.exception()
    return "it was not to" if error is None else f"{type(error).__name__}: {error}"


def _lost(task: asyncio.Task[Any]) -> bool:
    return not task.cancelled() and isinstance(task.exception(), LeadershipLostError)


def _alone() -> None:
    """Without a lease there is nobody else."""
