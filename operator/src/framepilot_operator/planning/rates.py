"""How many items per second each module of a service gets, as far as that can be known. Pure.

The first modules get every frame, at the rates that the streams declare. How many items a module makes of one depends
on what the cameras see, so it is known only from counts of what was served.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from framepilot.contract.observed import ObservedModule
from framepilot.resources.service import InferenceService

ENOUGH: Final = 1000
"""Items of a module after which what it makes of them is believed."""


def item_rates(service: InferenceService, observed: Mapping[str, ObservedModule]) -> dict[tuple[str, str], float]:
    """By (service, module); without those that are not known. `observed`: its modules as their instance counts them."""
    fps = [stream.fps for stream in service.spec.streams]
    known = [each for each in fps if each is not None]
    if len(known) < len(fps):
        return {}
    rates: dict[str, float] = {}
    for module in service.spec.modules:
        if not module.inputs:
            rates[module.name] = float(sum(known))
            continue
        before, now = observed.get(module.inputs[0]), observed.get(module.name)
        rate = rates.get(module.inputs[0])
        if rate is not None and before is not None and now is not None and before.items >= ENOUGH:
            rates[module.name] = rate * now.items / before.items
    return {(service.key, name): rate for name, rate in rates.items()}
