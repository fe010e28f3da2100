"""What the tuner of one instance remembers from look to look. Nothing in it outlives the operator.

An operator that starts anew has none, and leaves what runs as it is until it knows how the device does now: what runs
was chosen by one that knew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from framepilot.contract.desired import Batch, Pipeline
from framepilot.contract.observed import ObservedModule, ObservedState
from framepilot.resources.profile import ModelProfile
from framepilot.resources.service import InferenceService
from framepilot_operator.planning.load import Key
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.planning.rates import ItemRate
from framepilot_operator.tuning import arrivals, fit, record
from framepilot_operator.tuning.arrivals import Arrivals
from framepilot_operator.tuning.counters import BatchCounters, ItemCounters
from framepilot_operator.tuning.fit import Fit
from framepilot_operator.tuning.record import Record

OTHERS: Final = 0.15
"""A device that works for so much more of the time than our instances run batches is used by something else, too."""


@dataclass(frozen=True, slots=True)
class Look:
    """One instance at one look.

    Args:
        services: those that it shall run, each with its uid.
        told: by service: what it was told last.
        observed: what it says, heard at `at`, Unix seconds.
        profiles: by (service, module): what was measured when the versions that serve were loaded.
        rates: by (service, module): as they are declared.
        recorded: by (service, module): the resource that holds what was measured of the version that serves.
        others: the device's utilization that is not ours, 0..1; None where nobody says so.
    """

    services: tuple[tuple[InferenceService, str], ...]
    told: Mapping[str, Pipeline]
    observed: ObservedState
    at: float
    profiles: Mapping[Key, ModuleProfile]
    rates: Mapping[Key, ItemRate]
    recorded: Mapping[Key, ModelProfile] = field(default_factory=dict)
    others: float | None = None

    def modules(self) -> Iterator[tuple[InferenceService, ObservedModule]]:
        """The modules that its instance reports, each with its service."""
        for service, uid in self.services:
            for module in self.observed.modules_of(service.key, uid).values():
                yield service, module

    @property
    def shared(self) -> bool:
        """Whether it is known that something else uses the device."""
        return self.others is not None and self.others > OTHERS


@dataclass(frozen=True, slots=True)
class Better:
    """Batches that would take less device time than those that run, and since when they would."""

    batches: Mapping[Key, Batch]
    since: float


@dataclass(frozen=True, slots=True)
class TunerMemory:
    """What is remembered of one instance. Times are Unix seconds.

    `found`: it ran before, as somebody chose who may have known better. `basis`: what was declared, and measured at
    loading, when it was last decided; None: nothing was decided yet.
    `told` and `changed_at`: the batch that each module was last seen to be told, and when that became another one.
    `records`: how well what is recorded of a module's version holds. `verdict`: what was decided last, and why.
    """

    began_at: float
    found: bool = False
    basis: object = None
    fits: Mapping[Key, Fit] = field(default_factory=dict)
    arrivals: Mapping[Key, Arrivals] = field(default_factory=dict)
    told: Mapping[Key, Batch] = field(default_factory=dict)
    changed_at: Mapping[Key, float] = field(default_factory=dict)
    better: Better | None = None
    records: Mapping[Key, Record] = field(default_factory=dict)
    verdict: str = ""

    @classmethod
    def begun(cls, look: Look, now: float) -> TunerMemory:
        """That of an instance which was not looked at before."""
        return cls(began_at=now, found=any(module.batches for _, module in look.modules()))

    def after(self, look: Look, now: float) -> TunerMemory:
        """What is known after another look."""
        told = {(key, module.name): module.batch for key, each in look.told.items() for module in each.modules}
        changed = {key: now for key, batch in told.items() if self.told.get(key, batch) != batch}
        changed_at = {key: at for key, at in {**self.changed_at, **changed}.items() if key in told}
        remembered = replace(self, told=told, changed_at=changed_at)
        fits = dict(self._fits(look))
        records = {
            key: record.followed(self.records.get(key), each, _alone(look, key, fits.get(key)), now)
            for key, each in look.recorded.items()
            if key in look.profiles
        }
        return replace(remembered, fits=fits, arrivals=dict(self._arrivals(look)), records=records)

    def _fits(self, look: Look) -> Iterator[tuple[Key, Fit]]:
        for _, module in look.modules():
            key = (module.service, module.name)
            counters = BatchCounters.of(look.observed, module, look.at)
            profile = look.profiles.get(key)
            if counters is not None and profile is not None:
                yield key, fit.followed(self.fits.get(key), counters, profile, shared=look.shared)

    def _arrivals(self, look: Look) -> Iterator[tuple[Key, Arrivals]]:
        for service, uid in look.services:
            if service.spec.elastic:
                continue
            modules = look.observed.modules_of(service.key, uid)
            counts = [each.frames for each in look.observed.streams_of(service.key, uid)]
            frames = sum(each.ingested - each.still for each in counts)
            admitted = max((each.arrived for each in modules.values() if not each.inputs), default=0)
            for module in modules.values():
                counters = ItemCounters(look.at, module.arrived, frames, admitted)
                of_a_frame = max(1.0, module.arrived / max(admitted, 1))
                key = (service.key, module.name)
                yield key, arrivals.followed(self.arrivals.get(key), counters, of_a_frame, len(service.spec.streams))


def _alone(look: Look, key: Key, found: Fit | None) -> ModuleProfile | None:
    """How long a module's batches take when nothing else uses the device; None if that cannot be seen now."""
    return None if look.observed.shares_a_stage(*key) else record.alone(found, look.profiles[key])
