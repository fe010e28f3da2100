"""The batch sizes that a module could have instead, and what each would cost, by the rule of the planner of one device.

All other modules of the device keep the sizes that they have, so it is no plan, but says why the plan is as it is: a
larger size that is cheaper for an item may make the cycle too long, and a smaller one costs more. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from framepilot_operator.planning.profile import ModuleProfile


@dataclass(frozen=True, slots=True)
class Alternative:
    """One size: how long a batch takes, what an item costs, and the worst case of a frame, in milliseconds.

    `late` are the services whose objective would not hold with it.
    """

    size: int
    typical_ms: float
    tail_ms: float
    item_ms: float
    worst_case_ms: float
    late: tuple[str, ...]
    in_force: bool


@dataclass(frozen=True, slots=True)
class OnDevice:
    """A module on the device: whose it is, the size that it has, and its profile."""

    service: str
    name: str
    size: int
    profile: ModuleProfile


@dataclass(frozen=True, slots=True)
class Objective:
    """What a service on the device is to keep; `depth` is how many of its modules stand on its longest way.

    `usable_ms` is what batches may take of it.
    """

    latency_ms: float
    usable_ms: float
    depth: int


def alternatives(
    module: OnDevice, sizes: Iterable[int], beside: Sequence[OnDevice], objectives: dict[str, Objective]
) -> tuple[Alternative, ...]:
    """What each of some sizes would be for a module.

    Args:
        module: the one that is asked about.
        sizes: that it may have.
        beside: all other modules of the device.
        objectives: of every service on it.
    """
    others_ms = sum(each.profile.tail_ms(each.size) for each in beside)
    found = []
    for size in sizes:
        cycle_ms = others_ms + module.profile.tail_ms(size)
        late = (key for key, each in objectives.items() if each.depth * cycle_ms > each.usable_ms)
        found.append(
            Alternative(
                size=size,
                typical_ms=module.profile.typical_ms(size),
                tail_ms=module.profile.tail_ms(size),
                item_ms=module.profile.typical_ms(size) / size,
                worst_case_ms=objectives[module.service].depth * cycle_ms,
                late=tuple(sorted(late)),
                in_force=size == module.size,
            )
        )
    return tuple(found)
