"""What is reported of a runtime: whether its instance runs, which services it runs, and what these share. Pure.

How these services fare is in their own statuses. Nothing here changes with every batch: what is shared is told without
what is counted of it, and is taken over only while nothing is being loaded, as parameters come in step by step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from framepilot.contract.observed import ObservedState
from framepilot.resources.conditions import Finding, conditions
from framepilot.resources.meta import ConditionStatus
from framepilot.resources.quantities import format_percent
from framepilot.resources.runtime import InferenceRuntimeStatus, SharingStatus, StageStatus
from framepilot_operator.cluster.port import DeclaredRuntime, Instance
from framepilot_operator.instance_health import not_ready, refused, under_way

MOST_SERVICES: Final = 256
MOST_MODULES: Final = 256
MOST_STAGES: Final = 16


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """What is known of one runtime at one look; `services` are names."""

    runtime: DeclaredRuntime
    services: tuple[str, ...] = ()
    instance: Instance | None = None
    pending: bool = False


def runtime_status(facts: RuntimeFacts, now: float) -> InferenceRuntimeStatus:
    """The status to report; `now` is Unix seconds."""
    generation = facts.runtime.generation
    findings = (_ready(facts), _reconciling(facts), _stalled(facts))
    return InferenceRuntimeStatus(
        observed_generation=generation,
        conditions=conditions(findings, facts.runtime.resource.status.conditions, generation, now),
        services=facts.services[:MOST_SERVICES],
        sharing=_sharing(facts, now),
    )


def _ready(facts: RuntimeFacts) -> Finding:
    if not facts.services:
        return Finding("Ready", ConditionStatus.FALSE, "NoServices", "No service names it in placement.runtimeRef.")
    missing = not_ready(facts.instance)
    if missing is not None:
        return Finding("Ready", ConditionStatus.FALSE, *missing)
    return Finding("Ready", ConditionStatus.TRUE, "Running", f"Its instance runs {', '.join(facts.services)}.")


def _reconciling(facts: RuntimeFacts) -> Finding:
    found = under_way(facts.instance, pending=facts.pending) if facts.services else None
    if found is None:
        return Finding("Reconciling", ConditionStatus.FALSE, "UpToDate", "Nothing is on its way.")
    return Finding("Reconciling", ConditionStatus.TRUE, *found)


def _stalled(facts: RuntimeFacts) -> Finding:
    found = refused(facts.instance)
    if found is None:
        return Finding("Stalled", ConditionStatus.FALSE, "Progressing", "Nothing stands in the way.")
    return Finding("Stalled", ConditionStatus.TRUE, *found)


def _sharing(facts: RuntimeFacts, now: float) -> SharingStatus | None:
    """What was told last, as long as nothing else is known."""
    if not facts.services:
        return None
    before = facts.runtime.resource.status.sharing
    state = None if facts.instance is None else facts.instance.observed
    if state is None or not state.modules or not all(module.settled for module in state.modules):
        return before
    # Whole seconds, as Kubernetes stores times.
    found = _shared(state, datetime.fromtimestamp(math.floor(now), UTC))
    return before if before is not None and before.model_copy(update={"since": found.since}) == found else found


def _shared(state: ObservedState, since: datetime) -> SharingStatus:
    largest_first = sorted(state.shared, key=lambda stage: -stage[2])
    return SharingStatus(
        since=since,
        parameters_unique_bytes=None if state.parameters is None else state.parameters.unique,
        parameters_referenced_bytes=None if state.parameters is None else state.parameters.referenced,
        stages=tuple(
            StageStatus(modules=modules[:MOST_MODULES], nodes=nodes, share=format_percent(min(max(share, 0.0), 1.0)))
            for modules, nodes, share in largest_first[:MOST_STAGES]
        ),
    )
