"""Observe, decide, apply, report: the only place where the four verbs meet.

A pass looks at everything, decides without doing, and then does what differs; a pass that finds nothing to change
writes nothing. What goes wrong with one service becomes its condition and never stops the others. Nothing is remembered
that matters: an operator that starts anew goes on where the last one was.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from framepilot_operator.cluster.port import Cluster, ClusterError, RuntimeStatus, ServiceStatus, Status
from framepilot_operator.decision import Sinks, Wanted, decide, no_sinks
from framepilot_operator.runtime_status import runtime_status
from framepilot_operator.status import service_status

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """What one pass tells the next.

    `failures`: by service ("" for none), what could not be done. `changed`: whether anything was changed.
    """

    failures: Mapping[str, str] = field(default_factory=dict)
    changed: bool = False


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
    wanted = decide(snapshot, memory.failures, extra_sinks)
    failures = dict(wanted.failures)
    changed = False
    for services, change in wanted.changes:
        try:
            await cluster.apply(change)
        except ClusterError as error:
            failures.update(dict.fromkeys(services or ("",), str(error)))
        else:
            changed = True
    for status in statuses(wanted, now()):
        try:
            await cluster.report(status)
        except ClusterError as error:
            failures.setdefault(status.service if isinstance(status, ServiceStatus) else "", str(error))
    for failure in failures.keys() - {key for key, known in memory.failures.items() if failures.get(key) == known}:
        _log.warning("%s: %s", failure or "cluster", failures[failure])
    return Memory(failures, changed)


def statuses(wanted: Wanted, now: float) -> Iterator[Status]:
    """The statuses that are not what was reported last."""
    for facts in wanted.facts:
        status = service_status(facts, now)
        if status != facts.service.resource.status:
            yield ServiceStatus(facts.service.key, status)
    for runtime in wanted.runtimes:
        reported = runtime_status(runtime, now)
        if reported != runtime.runtime.resource.status:
            yield RuntimeStatus(runtime.runtime.key, reported)


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
