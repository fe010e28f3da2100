"""`framepilot plan FILE…`: what the loop would plan for the services of some files, without running anything.

The loop's own planner plans, from profiles: those of the files, and those that `framepilot up` measured with these
files. What an instance was told last counts as what runs, as it does for the loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from framepilot.contract.desired import Pipeline
from framepilot.contract.document import DocumentError
from framepilot.contract.observed import Device, ObservedState
from framepilot.resources.profile import ModelProfile
from framepilot.resources.service import InferenceService
from framepilot_operator.check import check, lines
from framepilot_operator.cluster.desired_file import read_desired
from framepilot_operator.cluster.records import read_profiles
from framepilot_operator.commands.plan_error import PlanError
from framepilot_operator.placement import runtime_of
from framepilot_operator.planning.load import priced
from framepilot_operator.planning.measured import profiles_in_force
from framepilot_operator.planning.plan import ServicePlan
from framepilot_operator.planning.planner import plan
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.planning.rates import ItemRate, item_rates


@dataclass(frozen=True, slots=True)
class Known:
    """What is known besides the services: profiles, and by service what its instance was told last."""

    profiles: tuple[ModelProfile, ...]
    told: Mapping[str, Pipeline]


@dataclass(frozen=True, slots=True)
class Devices:
    """The class of the services' devices, None: that of the profiles; and what a device costs an hour, by its class."""

    device_class: str | None = None
    prices: Mapping[str, float] = field(default_factory=dict)


def plan_services(files: Sequence[Path], states: Sequence[Path], devices: Devices) -> tuple[str, list[ServicePlan]]:
    """The device class that was planned for, and a plan for each service.

    Args:
        files: what is declared.
        states: folders of the state of earlier runs; one need not be there.
        devices: those of the instances.

    Raises:
        PlanError: a file has a problem, there is no service, or the device class is not clear.
    """
    checked = check(files)
    problems = list(lines(checked.problems))
    services = [resource for _, resource in checked.resources if isinstance(resource, InferenceService)]
    if not services and not problems:
        problems = ["there is no InferenceService in these files; nothing is to be planned"]
    if problems:
        raise PlanError("\n".join(problems))
    declared = [resource for _, resource in checked.resources if isinstance(resource, ModelProfile)]
    known = _known(declared, states)
    chosen = devices.device_class or _device_class(services, known.profiles)
    price = devices.prices.get(chosen)
    return chosen, [made for group in _groups(services) for made in _planned(group, known, chosen, price)]


def _known(declared: Sequence[ModelProfile], states: Sequence[Path]) -> Known:
    profiles, told = [*declared], dict[str, Pipeline]()
    for state in states:
        profiles.extend(read_profiles(state / "profiles").values())
        for path in sorted(state.glob("instances/*/desired.json")):
            try:
                desired = read_desired(path)
            except (DocumentError, OSError) as error:
                raise PlanError(f"{path}: {error}; name another folder with --state") from error
            told.update({each.service: each for each in (desired.pipelines if desired else ())})
    return Known(tuple(profiles), told)


def _device_class(services: Sequence[InferenceService], profiles: Sequence[ModelProfile]) -> str:
    models = {(module.model.name, module.model.version) for each in services for module in each.spec.modules}
    classes = sorted({each.spec.device_class for each in profiles if (each.spec.model, each.spec.version) in models})
    if len(classes) > 1:
        raise PlanError(f"there are profiles of {', '.join(classes)}; choose one with --device-class")
    return classes[0] if classes else "unknown"


def _groups(services: Sequence[InferenceService]) -> Iterator[list[InferenceService]]:
    """Services that share an instance are planned together."""
    groups: dict[str, list[InferenceService]] = {}
    for service in sorted(services, key=lambda each: each.key):
        runtime = runtime_of(service, service.spec.template.devices)
        groups.setdefault(f"service {service.key}" if runtime is None else runtime, []).append(service)
    return iter(groups.values())


def _planned(
    services: Sequence[InferenceService], known: Known, device_class: str, price: float | None
) -> Iterator[ServicePlan]:
    idle = ObservedState(started_at=0, device=Device(device_class=device_class, name=device_class))
    profiles: dict[tuple[str, str], ModuleProfile] = {}
    rates: dict[tuple[str, str], ItemRate] = {}
    for service in services:
        profiles |= profiles_in_force(service, "", idle, known.profiles)
        rates |= item_rates(service, {})
    plans = priced(plan(services, profiles, known.told, rates), price)
    return (plans[service.key] for service in services)
