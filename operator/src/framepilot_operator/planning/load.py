"""What plans make of a device's time: the utilization of each module, and of the device by all services on it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from framepilot_operator.planning.plan import ModulePlan, ServicePlan
from framepilot_operator.planning.profile import ModuleProfile

Key = tuple[str, str]
"""A service, and its module."""


def loaded(
    plans: Mapping[str, ServicePlan], profiles: Mapping[Key, ModuleProfile], rates: Mapping[Key, float]
) -> dict[str, ServicePlan]:
    """The plans of all services of one device, with utilizations where rates and profiles are known."""
    with_modules = {
        key: replace(plan, modules=tuple(_module(key, module, profiles, rates) for module in plan.modules))
        for key, plan in plans.items()
    }
    shares = [module.utilization for plan in with_modules.values() for module in plan.modules]
    known = [share for share in shares if share is not None]
    whole = sum(known) if len(known) == len(shares) else None
    return {key: replace(plan, utilization=whole) for key, plan in with_modules.items()}


def _module(
    service: str, module: ModulePlan, profiles: Mapping[Key, ModuleProfile], rates: Mapping[Key, float]
) -> ModulePlan:
    """With full batches, which is what a device that is busy runs."""
    profile, rate = profiles.get((service, module.name)), rates.get((service, module.name))
    if profile is None or rate is None:
        return module
    return replace(module, utilization=rate * profile.typical_ms(module.batch.size) / module.batch.size / 1000)
