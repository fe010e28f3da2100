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

from framepilot.contract.desired import DesiredSink, Pipeline
from framepilot_operator.cluster.port import (
    Change,
    Cluster,
    ClusterError,
    DeclaredService,
    Instance,
    RemoveInstance,
    ServiceStatus,
    Snapshot,
    WriteDesired,
    WriteProfile,
)
from framepilot_operator.planning.desired import desired_state, pipeline_of, same_content
from framepilot_operator.planning.measured import profiles_in_force, unrecorded
from framepilot_operator.planning.plan import ServicePlan
from framepilot_operator.planning.planner import plan
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.status import Facts, service_status

Sinks = Callable[[str], tuple[DesiredSink, ...]]
"""The sinks that the pipeline of a service (`<namespace>/<name>`) gets besides the declared ones."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """What one pass tells the next.

    `failures`: by service ("" for none), what could not be done. `changed`: whether anything was changed.
    """

    failures: Mapping[str, str] = field(default_factory=dict)
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a pass decided: what to change (for which service, None: for none of those declared), what is known of every
    service, and of which of them nothing could be decided and why."""

    changes: tuple[tuple[str | None, Change], ...]
    facts: tuple[Facts, ...]
    failures: Mapping[str, str]


def no_sinks(_: str) -> tuple[DesiredSink, ...]:
    """Only the declared sinks."""
    return ()


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
    wanted = decide(snapshot, memory, extra_sinks)
    failures = dict(wanted.failures)
    changed = False
    for service, change in wanted.changes:
        try:
            await cluster.apply(change)
        except ClusterError as error:
            failures[service or ""] = str(error)
        else:
            changed = True
    for status in statuses(wanted, now()):
        try:
            await cluster.report(status)
        except ClusterError as error:
            failures.setdefault(status.service, str(error))
    for failure in failures.keys() - {key for key, known in memory.failures.items() if failures.get(key) == known}:
        _log.warning("%s: %s", failure or "cluster", failures[failure])
    return Memory(failures, changed)


def decide(snapshot: Snapshot, memory: Memory, extra_sinks: Sinks = no_sinks) -> Wanted:
    """What to change, and what is known of every service."""
    instances = {instance.service: instance for instance in snapshot.instances}
    changes: list[tuple[str | None, Change]] = []
    facts: list[Facts] = []
    failures: dict[str, str] = {}
    for service in snapshot.services:
        instance = instances.get(service.key)
        planned, change, failure = _decided(service, instance, snapshot, extra_sinks)
        if change is not None:
            changes.append((service.key, change))
        if failure is not None:
            failures[service.key] = failure
        facts.append(
            Facts(
                service=service,
                plan=planned,
                instance=instance,
                pending=change is not None,
                problem="; ".join(each.message for each in snapshot.problems if each.service == service.key) or None,
                failure=failure or memory.failures.get(service.key),
            )
        )
    changes.extend(_measurements(snapshot))
    declared = {service.key for service in snapshot.services}
    changes.extend(
        (None, RemoveInstance(instance.name)) for instance in snapshot.instances if instance.service not in declared
    )
    return Wanted(tuple(changes), tuple(facts), failures)


def statuses(wanted: Wanted, now: float) -> Iterator[ServiceStatus]:
    """The statuses that are not what was reported last."""
    for facts in wanted.facts:
        status = service_status(facts, now)
        if status != facts.service.resource.status:
            yield ServiceStatus(facts.service.key, status)


def _decided(
    service: DeclaredService, instance: Instance | None, snapshot: Snapshot, extra_sinks: Sinks
) -> tuple[ServicePlan | None, WriteDesired | None, str | None]:
    """The plan of a service, what to change for it, and why that cannot be said."""
    resource = service.resource
    previous = None if instance is None else instance.desired
    observed = None if instance is None else instance.observed
    try:
        profiles: dict[tuple[str, str], ModuleProfile] = profiles_in_force(resource, observed, snapshot.profiles)
        running: Pipeline | None = pipeline_of(previous, service.key)
        planned = plan([resource], profiles, {} if running is None else {service.key: running})[service.key]
        document = desired_state(resource, service.uid, planned, previous, observed, extra_sinks(service.key))
    except Exception as error:  # noqa: BLE001 whatever is wrong with one service, the others are served
        return None, None, f"no desired state could be made: {type(error).__name__}: {error}"
    if instance is not None and instance.current and same_content(previous, document):
        return planned, None, None
    return planned, WriteDesired(instance.name if instance else service.key, service.key, document), None


def _measurements(snapshot: Snapshot) -> Iterator[tuple[None, WriteProfile]]:
    written: set[str] = set()
    for instance in snapshot.instances:
        if instance.observed is None:
            continue
        namespace = instance.service.partition("/")[0]
        for profile in unrecorded(namespace, instance.observed, snapshot.profiles):
            if profile.key not in written:
                written.add(profile.key)
                yield None, WriteProfile(profile)


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
