"""Observe, decide, apply, report: the only place where the four verbs meet.

A pass looks at everything, decides without doing, and then does what differs; a pass that finds nothing to change
writes nothing. What goes wrong with one service becomes its condition and never stops the others. Nothing is remembered
that matters: an operator that starts anew goes on where the last one was.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from framepilot_operator.cluster.port import Cluster, ClusterError, RuntimeStatus, ServiceStatus, Status
from framepilot_operator.decision import Sinks, Wanted, decide, no_sinks
from framepilot_operator.learnt import LASTING_S, as_told
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.runtime_status import runtime_status
from framepilot_operator.status import service_status
from framepilot_operator.tuning.memory import TunerMemory

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """What one pass tells the next.

    `failures`: by service ("" for none), what could not be done. `changed`: whether anything was changed. `tuning`: by
    instance, how its device did so far. `learnt`: by service, since when (Unix seconds) more is learnt than was told.
    """

    failures: Mapping[str, str] = field(default_factory=dict)
    changed: bool = False
    tuning: Mapping[Owner, TunerMemory] = field(default_factory=dict)
    learnt: Mapping[str, float] = field(default_factory=dict)


async def run(cluster: Cluster, now: Callable[[], float] = time.time, extra_sinks: Sinks = no_sinks) -> None:
    """Reconcile at every trigger, until the cluster is closed or this is cancelled.

    Any number of triggers during a pass lead to one more pass. A pass that changed something is followed by another.
    """
    wake = asyncio.Event()
    wake.set()
    listening = asyncio.create_task(_listen(cluster, wake))
    memory = Memory()
    unseen: str | None = None
    try:
        while await _woken(wake, listening):
            wake.clear()
            try:
                memory = await reconcile(cluster, now, memory, extra_sinks)
            except ClusterError as error:
                if str(error) != unseen:
                    _log.warning("the cluster cannot be observed, and is looked at again: %s", error)
                unseen = str(error)
                continue
            if unseen is not None:
                _log.info("the cluster can be observed again")
                unseen = None
            if memory.changed:
                wake.set()
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def reconcile(
    cluster: Cluster, now: Callable[[], float], memory: Memory, extra_sinks: Sinks = no_sinks
) -> Memory:
    """One pass; what it tells the next.

    Raises:
        ClusterError: the cluster cannot be observed; nothing was changed.
    """
    snapshot = await cluster.observe()
    wanted = decide(snapshot, now(), memory.failures, extra_sinks, memory.tuning)
    for owner, remembered in wanted.tuning.items():
        if owner not in memory.tuning or memory.tuning[owner].verdict != remembered.verdict:
            _log.debug("%s: %s", owner, remembered.verdict)
    failures = dict(wanted.failures)
    changed = False
    for services, change in wanted.changes:
        try:
            await cluster.apply(change)
        except ClusterError as error:
            failures.update(dict.fromkeys(services or ("",), str(error)))
        else:
            changed = True
    reports = statuses(wanted, now(), memory.learnt)
    for status in reports.due:
        try:
            await cluster.report(status)
        except ClusterError as error:
            failures.setdefault(status.service if isinstance(status, ServiceStatus) else "", str(error))
    for failure in failures.keys() - {key for key, known in memory.failures.items() if failures.get(key) == known}:
        _log.warning("%s: %s", failure or "cluster", failures[failure])
    return Memory(failures, changed, wanted.tuning, reports.learnt)


@dataclass(frozen=True, slots=True)
class Reports:
    """What is to be reported now; `learnt`: by service, since when more is learnt that is not worth a report yet."""

    due: Sequence[Status]
    learnt: Mapping[str, float]


def statuses(wanted: Wanted, now: float, learnt: Mapping[str, float]) -> Reports:
    """The statuses that are not what was reported last, if that is worth a write; `learnt`: as the pass before said."""
    due: list[Status] = []
    waiting: dict[str, float] = {}
    for facts in wanted.facts:
        key, told = facts.service.key, facts.service.resource.status
        status = service_status(facts, now)
        if status == told:
            continue
        since = min(learnt.get(key, now), now)
        if not facts.pending and as_told(status, told) == told and now - since < LASTING_S:
            waiting[key] = since
        else:
            due.append(ServiceStatus(key, status))
    for runtime in wanted.runtimes:
        reported = runtime_status(runtime, now)
        if reported != runtime.runtime.resource.status:
            due.append(RuntimeStatus(runtime.runtime.key, reported))
    return Reports(due, waiting)


async def _listen(cluster: Cluster, wake: asyncio.Event) -> None:
    async for trigger in cluster.triggers():
        _log.debug("look again: %s %s", trigger.kind.value, " ".join(trigger.subjects))
        wake.set()


async def _woken(wake: asyncio.Event, listening: asyncio.Task[None]) -> bool:
    """Wait for a trigger; False when there will be none any more.

    Raises:
        Exception: what ended the triggers.
    """
    waking = asyncio.create_task(wake.wait())
    await asyncio.wait((waking, listening), return_when=asyncio.FIRST_COMPLETED)
    waking.cancel()
    if listening.done():
        listening.result()
        return False
    return True
