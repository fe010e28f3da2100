"""One run of services on this machine: start, follow, end gracefully, report."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from framepilot_operator import report as reporting
from framepilot_operator.cluster.device_watch import DeviceWatch
from framepilot_operator.cluster.local import DRAIN_S, LocalCluster, app_executable
from framepilot_operator.cluster.port import Cluster, Snapshot
from framepilot_operator.decision import no_sinks
from framepilot_operator.ending import ended, failures
from framepilot_operator.event_files import EventFiles
from framepilot_operator.frame_count import count_frames
from framepilot_operator.loop import run as reconcile
from framepilot_operator.screen import Show
from framepilot_operator.table import totals
from framepilot_operator.telemetry.prometheus_server import PrometheusServer
from framepilot_operator.telemetry.prometheus_watch import watch_prometheus
from framepilot_operator.witness import Witness, Witnessed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """What to run: absolute paths; `for_s` None: until it ends by itself; `report` None: none is written.

    `credentials` has a folder for each Secret that a service names; None: there is none. `page`: each instance has its
    web page. `prices`: what a device costs an hour, by its class. `prometheus` None: no such server is asked.
    """

    files: tuple[Path, ...]
    state: Path
    for_s: float | None = None
    report: Path | None = None
    credentials: Path | None = None
    page: bool = True
    prices: Mapping[str, float] = field(default_factory=dict)
    prometheus: PrometheusServer | None = None


async def run(session: Session, show: Show, now: Callable[[], float]) -> int:
    """Run until everything has ended, time is up, or a signal says so; the exit status.

    Raises:
        ClusterError: the state folder cannot be used.
        OSError: the folder of events or the report cannot be written.
    """
    stop = asyncio.Event()
    _stop_on_signals(stop)
    if session.for_s is not None:
        asyncio.get_running_loop().call_later(session.for_s, stop.set)
    cluster = LocalCluster(
        session.files, session.state, credentials=session.credentials, page=session.page, prices=session.prices
    )
    events = EventFiles(session.state / "events") if session.report else None
    witness = Witness(events, now)

    def seen(snapshot: Snapshot) -> None:
        witness.see(snapshot)
        show(snapshot)
        if ended(snapshot):
            stop.set()

    try:
        devices = DeviceWatch(cluster, watch_prometheus(session.prometheus), now)
        await _until(stop, Witnessed(devices, seen), events, witness, now)
        seen(await cluster.observe())
    finally:
        _log.info("ending; what is under way is delivered first (Ctrl-C again: at once)")
        closing_at = now()
        await cluster.close()
    drained = now() - closing_at < DRAIN_S
    await witness.catch_up()
    _log.info("%s", totals(witness.latest))
    if session.report is not None:
        await _report(session.report, witness, drained=drained, now=now())
    failed = list(failures(witness.latest))
    for sentence in failed:
        _log.error("%s", sentence)
    return 1 if failed else 0


async def _until(
    stop: asyncio.Event,
    cluster: Cluster,
    events: EventFiles | None,
    witness: Witness,
    now: Callable[[], float],
) -> None:
    """Reconcile and read events until `stop` is set; what fails meanwhile is raised."""
    reconciling = asyncio.create_task(reconcile(cluster, now, events.sinks if events else no_sinks))
    reading = asyncio.create_task(witness.read_events())
    stopped = asyncio.create_task(stop.wait())
    tasks = (reconciling, reading, stopped)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for finished in done:
        finished.result()


def _stop_on_signals(stop: asyncio.Event) -> None:
    """The first signal ends the run gracefully, the second at once: instances follow when their parent is gone."""

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)


async def _report(path: Path, witness: Witness, *, drained: bool, now: float) -> None:
    sources = witness.observations.countable()
    if sources:
        _log.info("counting the frames of %d files", len(sources))
    run = reporting.Run(
        ledger=witness.ledger,
        observations=witness.observations,
        changes=witness.changes,
        counted=await count_frames(sources, Path(app_executable())),
        drained=drained,
        ended_at=now,
    )
    report = reporting.build(run)
    reporting.write(report, path)
    _log.info("report in %s: %d frames given, %d lost", path, report.frames.ingested, report.frames.lost)
    for oddity in witness.ledger.oddities():
        _log.warning("%s", oddity)
