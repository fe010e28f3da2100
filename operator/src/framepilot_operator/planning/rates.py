"""How many items per second each module of a service gets, as far as that can be known. Pure.

The first modules get every frame, at the rates that the streams declare. How many items a module makes of one depends
on what the cameras see, so it is known only from counts of what was served.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from framepilot.contract.observed import ObservedModule
from framepilot.resources.service import InferenceService

ENOUGH: Final = 1000
"""Items of a module after which what it makes of them is believed."""
LIKELY: Final = 2.0
"""Standard deviations above the mean that are still to be expected."""


@dataclass(frozen=True, slots=True)
class ItemRate:
    """What a module gets: items per second, and how unevenly they come.

    `at_once` is how many may come at the same moment, since cameras may be in step and a frame may have many items:
    `of_a_frame`, at least one.
    `dispersion` is the variance of counts over their mean: 0 for a clock, 1 for arrivals that know nothing of each
    other, more for bursts (index of dispersion; Cox and Lewis, 1966).
    """

    per_s: float
    at_once: float = 1.0
    dispersion: float = 0.0
    of_a_frame: float = 1.0

    def usual_in(self, seconds: float) -> float:
        """How many are there on average, so long after the first one came, with those of its frame."""
        return self.of_a_frame + self.per_s * seconds

    def most_in(self, seconds: float) -> int:
        """How many may well be there after so long."""
        mean = self.per_s * seconds
        return max(1, math.floor(self.at_once + mean + LIKELY * math.sqrt(self.dispersion * mean)))


def item_rates(service: InferenceService, observed: Mapping[str, ObservedModule]) -> dict[tuple[str, str], ItemRate]:
    """By (service, module); without those that are not known. `observed`: its modules as their instance counts them."""
    fps = [stream.fps for stream in service.spec.streams]
    known = [each for each in fps if each is not None]
    if len(known) < len(fps):
        return {}
    each_frame: dict[str, float] = {}
    for module in service.spec.modules:
        if not module.inputs:
            each_frame[module.name] = 1.0
            continue
        before, now = observed.get(module.inputs[0]), observed.get(module.name)
        frame = each_frame.get(module.inputs[0])
        if frame is not None and before is not None and now is not None and before.items >= ENOUGH:
            each_frame[module.name] = frame * now.items / before.items
    return {
        (service.key, name): ItemRate(sum(known) * items, at_once=len(fps) * items, of_a_frame=max(1.0, items))
        for name, items in each_frame.items()
    }
