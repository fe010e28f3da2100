"""What plans make of a device: the utilization of each module and of the device, and what each service costs. Pure.

Near its whole time a queue grows without bound, the sooner the more unevenly items come (Kingman, 1961): some time is
kept spare.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from framepilot_operator.planning.frontier import Choices
from framepilot_operator.planning.plan import ModulePlan, ServicePlan
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.planning.rates import ItemRate

SPARE: Final = 0.1
"""Share of a device's time that is to be left when items come evenly, or at random."""
MOST_SPARE: Final = 0.4
"""The same, at most, when they come in bursts."""

Key = tuple[str, str]
"""A service, and its module."""


def loaded(
    plans: Mapping[str, ServicePlan], profiles: Mapping[Key, ModuleProfile], rates: Mapping[Key, ItemRate]
) -> dict[str, ServicePlan]:
    """The plans of all services of one device, with utilizations where rates and profiles are known."""
    with_modules = {
        key: replace(plan, modules=tuple(_module(key, module, profiles, rates) for module in plan.modules))
        for key, plan in plans.items()
    }
    uses = [_use(plan) for plan in with_modules.values()]
    known = [use for use in uses if use is not None]
    whole = math.fsum(known) if len(known) == len(uses) else None
    return {key: replace(plan, utilization=whole) for key, plan in with_modules.items()}


def priced(plans: Mapping[str, ServicePlan], price_per_hour: float | None) -> dict[str, ServicePlan]:
    """The plans of all services of one device, each with its share of the price: idle time is paid for in proportion to
    use, so the shares make up the price. Who is alone on it pays for all of it."""
    uses = {key: _use(plan) for key, plan in plans.items()}
    whole = math.fsum(use or 0.0 for use in uses.values())

    def cost(use: float | None) -> float | None:
        if len(plans) == 1 or price_per_hour is None:
            return price_per_hour
        if use is None or None in uses.values():
            return None
        return price_per_hour * (use / whole if whole > 0 else 1 / len(plans))

    return {key: replace(plan, cost_per_hour=cost(uses[key])) for key, plan in plans.items()}


def busy_share(choices: Sequence[Choices], sizes: Sequence[int]) -> float:
    """The share of the time for which full batches of these sizes keep the device busy, as far as rates are known."""
    return sum(choice.busy_ms(size) for choice, size in zip(choices, sizes, strict=True)) / 1000


def spare(choices: Sequence[Choices]) -> float:
    """The share of a device's time that is to be left."""
    dispersion = max((choice.rate.dispersion for choice in choices if choice.rate is not None), default=0.0)
    return min(MOST_SPARE, SPARE * math.sqrt(max(1.0, dispersion)))


def _use(plan: ServicePlan) -> float | None:
    shares = [module.utilization for module in plan.modules]
    known = [share for share in shares if share is not None]
    return math.fsum(known) if len(known) == len(shares) else None


def _module(
    service: str, module: ModulePlan, profiles: Mapping[Key, ModuleProfile], rates: Mapping[Key, ItemRate]
) -> ModulePlan:
    """With full batches, which is what a device that is busy runs."""
    profile, rate = profiles.get((service, module.name)), rates.get((service, module.name))
    if profile is None or rate is None:
        return module
    return replace(module, utilization=rate.per_s * profile.typical_ms(module.batch.size) / module.batch.size / 1000)
