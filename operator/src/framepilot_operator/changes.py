"""Live changes of batch size and model version, found by comparing one snapshot with the next.

A change is requested when a module's desired state differs from what it was, and it ends when `/status` says so: in
force, or refused with a reason. Only what was declared and what was observed is looked at, never what the code that
applied it believes. The windows of latency around a change are cut from the ledger when the report is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from framepilot.contract.desired import DesiredModule
from framepilot.contract.observed import ObservedModule
from framepilot.contract.report import ChangeKind, ChangeRecord, Outcome
from framepilot.resources.service import InferenceService
from framepilot.rollouts.state import RolloutState
from framepilot_operator.cluster.port import DeclaredService, Snapshot
from framepilot_operator.ledger import Ledger, Window

WINDOW_S: Final = 5.0
SETTLING_S: Final = 1.0
REACTION_S: Final = 5.0
"""A declaration that led to nothing for this long is not the cause of what changes later."""

ModuleKey = tuple[str, str]
"""(service, module)"""


@dataclass(frozen=True, slots=True)
class LiveChange:
    """One change of one module. Times are Unix seconds; `outcome` is None while it is under way."""

    kind: ChangeKind
    service: str
    module: str
    before: str
    to: str
    requested_at: float
    generation: int
    ended_at: float | None = None
    pause_ms: float | None = None
    outcome: Outcome | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a module shall run, and the declaration that it was derived from."""

    batch: str
    version: str
    declared_batch: object
    declared_version: object


@dataclass(frozen=True, slots=True)
class Running:
    """What a module was last observed to run."""

    batch: str
    version: str | None


@dataclass(frozen=True, slots=True)
class ChangeLog:
    """Every change so far, oldest first; what each module was last told to run, and was last observed to run."""

    wanted: Mapping[ModuleKey, Wanted] = field(default_factory=dict)
    running: Mapping[ModuleKey, Running] = field(default_factory=dict)
    changes: tuple[LiveChange, ...] = ()


@dataclass(frozen=True, slots=True)
class _Module:
    """One module in one snapshot: what it shall run, what it does run, and who declared it when."""

    service: str
    desired: DesiredModule
    generation: int
    observed: ObservedModule | None
    observed_generation: int
    declared: DeclaredService | None

    @property
    def key(self) -> ModuleKey:
        return self.service, self.desired.name

    def wanted(self) -> Wanted:
        batch, version = _declaration(self.declared.resource if self.declared else None, self.desired.name)
        return Wanted(str(self.desired.batch.size), self.desired.model.version, batch, version)


def follow(log: ChangeLog, snapshot: Snapshot, now: float) -> ChangeLog:
    """The log after one more snapshot, observed at `now`."""
    wanted, running = dict(log.wanted), dict(log.running)
    changes = list(log.changes)
    for module in _modules(snapshot):
        before, after = wanted.get(module.key), module.wanted()
        seen = running.get(module.key)
        # What was not seen running yet is being started, not changed.
        if before is not None and seen is not None:
            for begun in _begun(module, before, after, seen, now):
                changes = [_superseded(change, begun) for change in changes]
                if begun.before != begun.to:
                    changes.append(begun)
        if before is None or (before.batch, before.version) != (after.batch, after.version) or _stable(module, now):
            wanted[module.key] = after
        changes = [_advanced(change, module) for change in changes]
        if module.observed is not None:
            running[module.key] = _running(module.observed)
    return ChangeLog(wanted, running, tuple(changes))


def _modules(snapshot: Snapshot) -> Iterator[_Module]:
    declared = {service.key: service for service in snapshot.services}
    for instance in snapshot.instances:
        if instance.desired is None:
            continue
        state = instance.observed
        observed = {(module.service, module.name): module for module in state.modules} if state else {}
        for pipeline in instance.desired.pipelines:
            for module in pipeline.modules:
                yield _Module(
                    service=pipeline.service,
                    desired=module,
                    generation=instance.desired.generation,
                    observed=observed.get((pipeline.service, module.name)),
                    observed_generation=state.generation if state else 0,
                    declared=declared.get(pipeline.service),
                )


def _declaration(resource: InferenceService | None, name: str) -> tuple[object, object]:
    """What is declared of a module's batch and of its version, to be compared only."""
    if resource is None:
        return None, None
    for module in resource.spec.modules:
        if module.name == name:
            return (resource.spec.batching, module.batching), module.model.version
    return None, None


def _stable(module: _Module, now: float) -> bool:
    return module.declared is not None and now - module.declared.changed_at > REACTION_S


def _running(observed: ObservedModule) -> Running:
    return Running(str(observed.batch.size), observed.serving.version if observed.serving else None)


def _begun(module: _Module, before: Wanted, after: Wanted, running: Running, now: float) -> Iterator[LiveChange]:
    changed_at = module.declared.changed_at if module.declared else now
    if after.batch != before.batch:
        yield LiveChange(
            ChangeKind.BATCH,
            *module.key,
            before=running.batch,
            to=after.batch,
            requested_at=changed_at if after.declared_batch != before.declared_batch else now,
            generation=module.generation,
        )
    if after.version != before.version:
        yield LiveChange(
            ChangeKind.MODEL,
            *module.key,
            before=running.version or before.version,
            to=after.version,
            requested_at=changed_at if after.declared_version != before.declared_version else now,
            generation=module.generation,
        )


def _superseded(change: LiveChange, newer: LiveChange) -> LiveChange:
    same = (change.kind, change.service, change.module) == (newer.kind, newer.service, newer.module)
    if not same or change.outcome is not None:
        return change
    reason = f"superseded by a change to {newer.to} before it was in force"
    return replace(change, ended_at=newer.requested_at, outcome=Outcome.REFUSED, reason=reason)


def _advanced(change: LiveChange, module: _Module) -> LiveChange:
    observed = module.observed
    same = (change.service, change.module) == module.key
    if not same or observed is None or module.observed_generation < change.generation:
        return change
    if change.kind is ChangeKind.BATCH:
        if change.outcome is None and str(observed.batch.size) == change.to:
            return _ended(change, observed.batch.since, Outcome.APPLIED)
        return change
    rollout = observed.rollout
    wanted = module.desired
    if rollout is None or wanted.model.version != change.to:
        return change
    if (rollout.candidate, rollout.attempt) != (change.to, wanted.attempt):
        return change
    if change.outcome is Outcome.APPLIED and rollout.state is RolloutState.REFUSED:
        return replace(change, outcome=Outcome.ROLLED_BACK, reason=rollout.reason)
    if change.outcome is not None:
        return change
    if rollout.state is RolloutState.REFUSED:
        return replace(_ended(change, rollout.since, Outcome.REFUSED), reason=rollout.reason)
    if rollout.state is RolloutState.SERVING and observed.serving and observed.serving.version == change.to:
        return replace(_ended(change, rollout.since, Outcome.APPLIED), pause_ms=rollout.pause_ms)
    return change


def _ended(change: LiveChange, at: float, outcome: Outcome) -> LiveChange:
    # A change that the planner made is noticed only when it is observed, which may be after it came into force.
    return replace(change, requested_at=min(change.requested_at, at), ended_at=at, outcome=outcome)


def records(log: ChangeLog, ledger: Ledger, ended_at: float) -> tuple[ChangeRecord, ...]:
    """The log as it is reported, with what the ledger saw around each change; `ended_at` is the end of the run."""
    return tuple(_record(change, ledger, ended_at) for change in log.changes)


def _record(change: LiveChange, ledger: Ledger, run_ended_at: float) -> ChangeRecord:
    applied = change.outcome in {Outcome.APPLIED, Outcome.ROLLED_BACK}
    in_force_at = change.ended_at if applied else None
    ended_at = run_ended_at if change.ended_at is None else change.ended_at
    before = Window(change.requested_at - WINDOW_S, change.requested_at)
    during = Window(change.requested_at, ended_at + SETTLING_S)
    after = Window(during.end, during.end + WINDOW_S)
    return ChangeRecord(
        kind=change.kind,
        service=change.service,
        module=change.module,
        from_=change.before,
        to=change.to,
        requested_at=change.requested_at,
        in_force_at=in_force_at,
        delay_ms=None if in_force_at is None else (in_force_at - change.requested_at) * 1000,
        pause_ms=change.pause_ms,
        p99_before_ms=ledger.p99_ms(change.service, before),
        p99_during_ms=ledger.p99_ms(change.service, during),
        p99_after_ms=ledger.p99_ms(change.service, after),
        lost=ledger.lost_in(change.service, during),
        dropped=ledger.dropped_in(change.service, during),
        outcome=change.outcome or Outcome.REFUSED,
        reason=change.reason if change.outcome else "the run ended before it was in force",
    )
