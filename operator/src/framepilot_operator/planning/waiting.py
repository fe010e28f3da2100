"""How long batches of a plan may wait to fill, and what they cost as they usually fill meanwhile. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from framepilot_operator.planning.frontier import Choices, Point
from framepilot_operator.planning.member import KEPT, Member, worst_case_ms


def late(members: Sequence[Member], running: Point, shortest: Point) -> bool:
    """Whether what runs has to be changed: it breaks an objective that can be held."""
    return any(
        worst_case_ms(member.nodes, member.told_waits_ms, running.cycle_ms) > KEPT * member.usable_ms
        for member in members
        if member.longest_cycle_ms >= shortest.cycle_ms
    )


def owners(members: Sequence[Member]) -> tuple[Member, ...]:
    """Whose each module is."""
    return tuple(member for member in members for _ in member.modules)


def usual_cost_ms(of: Sequence[Member], choices: Sequence[Choices], at: Point) -> float:
    """The device time of the items of a second, milliseconds, in batches as they are with the waits that are left.

    What is measured of services that are not measured as a whole comes last, and costs the same in every plan.
    """
    return sum(
        choice.weight * choice.usual_cost_ms(size, wait_ms(owner, choice, size, at.cycle_ms))
        for owner, choice, size in zip(of, choices, at.sizes, strict=False)
    )


def wait_ms(service: Member, choice: Choices, size: int, cycle_ms: float) -> float:
    """All that the objective leaves beside the cycle, since full batches cost least.

    Where streams give frames as fast as they are served it is at most the batch's own time: they must not be held up
    for longer than a larger batch can save.
    """
    if size == 1:
        return 0.0
    slack_ms = max(0.0, service.longest_cycle_ms - cycle_ms)
    return rounded_down(min(slack_ms, choice.profile.tail_ms(size)) if service.elastic else slack_ms, 10)


def rounded_down(value: float, steps: int) -> float:
    """The value rounded down to a whole number of `1 / steps`."""
    return math.floor(value * steps) / steps
