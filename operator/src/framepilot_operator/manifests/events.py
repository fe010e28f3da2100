"""Kubernetes Events, which tell the story of a service or a runtime: one when a condition changes status or reason.

What comes and goes with every change that works is not told: it is the condition `Reconciling`. A Warning is for what a
person must act on. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue

from framepilot.resources.meta import API_VERSION, Condition, ConditionStatus
from framepilot_operator.manifests.owner import Owner

REPORTER: Final = "framepilot.dev/operator"
_LONGEST_NOTE: Final = 1000
_BAD_WHEN: Final = {
    "Ready": "False",
    "ModelsReady": "False",
    "StreamsReady": "False",
    "Feasible": "False",
    "ObjectiveMet": "False",
    "Stalled": "True",
}
"""The status of a condition that is no good news."""
_ORDINARY: Final = frozenset(
    {"NoInstance", "NotObserved", "NotMeasured", "NotServing", "NotRunning", "RollingOut", "NoServices"}
)
"""Reasons that every start goes through; a Warning only where something had been better before."""
_NEWS_AFTER_BAD: Final = frozenset({"Stalled", "ObjectiveMet"})
"""That nothing is wrong with these is told only where something was."""
_TOLD: Final = frozenset({("Reconciling", "Retrying")})
_TOLD_TWICE: Final = frozenset({("Stalled", "ModelRefused"), ("Ready", "InvalidDeclaration")})
"""ModelsReady says the first, Stalled the second."""


@dataclass(frozen=True, slots=True)
class Regarding:
    """The service or runtime that an Event is about."""

    owner: Owner
    uid: str


def condition_events(
    regarding: Regarding, before: Sequence[Condition], after: Sequence[Condition], instance: str, now: float
) -> Iterator[dict[str, JsonValue]]:
    """The Events of one change of conditions; `instance` is the operator's own name, `now` Unix seconds."""
    known = {condition.type: condition for condition in before}
    for condition in after:
        kind = _kind(known.get(condition.type), condition)
        if kind is not None:
            yield _event(regarding, condition, kind, instance, now)


def _kind(before: Condition | None, after: Condition) -> str | None:
    """Normal, Warning, or None for what is not told."""
    if before is not None and (before.status, before.reason) == (after.status, after.reason):
        return None
    if (after.type, after.reason) in _TOLD_TWICE:
        return None
    if after.type not in _BAD_WHEN:
        return "Warning" if (after.type, after.reason) in _TOLD else None
    bad = after.status.value == _BAD_WHEN[after.type]
    was_good = before is not None and before.status not in {_BAD_WHEN[after.type], ConditionStatus.UNKNOWN}
    if bad:
        if after.reason not in _ORDINARY:
            return "Warning"
        # A rollout that was asked for is no fault.
        return "Warning" if was_good and after.type == "Ready" else None
    was_bad = before is not None and before.status.value == _BAD_WHEN[after.type]
    if after.status is ConditionStatus.UNKNOWN or (after.type in _NEWS_AFTER_BAD and not was_bad):
        return None
    return None if was_good else "Normal"


def _event(regarding: Regarding, condition: Condition, kind: str, instance: str, now: float) -> dict[str, JsonValue]:
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    story = f"{regarding.uid} {condition.type} {condition.status.value} {condition.reason} {moment}"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{regarding.owner.name}.{hashlib.sha256(story.encode()).hexdigest()[:16]}",
            "namespace": regarding.owner.namespace,
        },
        "eventTime": moment,
        "type": kind,
        "reason": condition.reason,
        "note": _cut(f"{condition.type} is {condition.status.value}: {condition.message}"),
        "action": "Reconcile",
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": regarding.owner.kind.value,
            "namespace": regarding.owner.namespace,
            "name": regarding.owner.name,
            "uid": regarding.uid,
        },
        "reportingController": REPORTER,
        "reportingInstance": instance[:128],
    }


def _cut(note: str) -> str:
    """The API server counts bytes."""
    encoded = note.encode()
    return note if len(encoded) <= _LONGEST_NOTE else f"{encoded[: _LONGEST_NOTE - 4].decode(errors='ignore')} ..."
