"""Whether a service keeps to its objective, from a share that moves all the time to words that seldom do. Pure.

What is told are the odds of a miss, missed frames for each that keeps to the objective, in steps of a factor of two:
step 0 is met, step 1 up to twice the odds that are allowed, step 2 up to four times, and so on. A step is left upwards
as soon as the odds are higher than it stands for, and downwards only at half of those it begins with: so noise moves
nothing, whether hardly a frame is missed or hardly one is not.
"""

from __future__ import annotations

import math
from typing import Final

from framepilot.resources.conditions import Finding
from framepilot.resources.meta import ConditionStatus
from framepilot.resources.quantities import Percent, format_percent, fraction
from framepilot.resources.service import Objective

LEAST: Final = 0.01
"""Smaller shares are no different: it does not matter how few frames keep to the objective."""


def coarse(share: float | None, objective: Objective, before: Percent | None) -> Percent | None:
    """About the share of frames within the objective; the objective's own attainment while it is met.

    Args:
        share: as measured, 0..1; None: too few frames have ended.
        objective: the declared one.
        before: what was reported last of this objective.
    """
    if share is None:
        return None
    now, allowed = _odds(share), _odds(objective.attainment_fraction)
    worst, best = _step(now, allowed), _step(2 * now, allowed)
    step = worst if before is None else min(max(_step(_odds(fraction(before)), allowed), worst), best)
    return objective.attainment if step == 0 else _about(step, allowed)


def objective_met(attainment: Percent | None, objective: Objective, nearest: str) -> Finding:
    """The condition, of a coarse attainment. `nearest` ends the sentence: the objective that could be held, if any."""
    if attainment is None:
        message = "It cannot be said yet: too few frames have ended under this objective."
        return Finding("ObjectiveMet", ConditionStatus.UNKNOWN, "NotMeasured", message)
    delivered = f"of the frames are delivered within {objective.latency_ms:g} ms"
    if attainment == objective.attainment:
        return Finding("ObjectiveMet", ConditionStatus.TRUE, "Met", f"At least {attainment} {delivered}.")
    message = f"About {attainment} {delivered}, and {objective.attainment} are to be{nearest}."
    return Finding("ObjectiveMet", ConditionStatus.FALSE, "Missed", message)


def _odds(share: float) -> float:
    """Missed frames for each that is not."""
    share = max(share, LEAST)
    return (1 - share) / share


def _step(odds: float, allowed: float) -> int:
    """How often the allowed odds have to be doubled until they are no less than these."""
    ratio = round(odds / allowed, 6)
    return 0 if ratio <= 1 else math.ceil(math.log2(ratio))


def _about(step: int, allowed: float) -> Percent:
    """The share of frames within the objective that a step stands for, in two digits of what is rarer."""
    share = 1 / (1 + 0.75 * allowed * 2.0**step)
    return format_percent(round(share, 1 - math.floor(math.log10(min(share, 1 - share)))))
