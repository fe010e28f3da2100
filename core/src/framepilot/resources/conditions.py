"""From what was found to the conditions of a status. Times move only when a condition's status changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from framepilot.resources.meta import Condition, ConditionStatus

LONGEST_MESSAGE: Final = 4096


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition without its times."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


def conditions(
    findings: Sequence[Finding], before: Sequence[Condition], generation: int, now: float
) -> tuple[Condition, ...]:
    """The conditions that follow those of `before`, as of `now`, Unix seconds."""
    known = {condition.type: condition for condition in before}
    return tuple(_condition(finding, known.get(finding.type), generation, now) for finding in findings)


def _condition(finding: Finding, before: Condition | None, generation: int, now: float) -> Condition:
    same = before is not None and before.status is finding.status
    return Condition(
        type=finding.type,
        status=finding.status,
        reason=finding.reason,
        message=finding.message[:LONGEST_MESSAGE],
        # Whole seconds, as Kubernetes stores times.
        last_transition_time=before.last_transition_time
        if same and before is not None
        else datetime.fromtimestamp(math.floor(now), UTC),
        observed_generation=generation,
    )
