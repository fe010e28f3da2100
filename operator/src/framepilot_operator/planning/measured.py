"""Which profile counts for a module, and which measurements are to be recorded.

What the instance itself measured of the version that it serves comes first; a `ModelProfile` of that version on that
device class is for the time before. Another engine makes it another profile, so that instances that run one version on
several do not write over each other. What a person wrote comes before what was measured, and is never written over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from framepilot.contract.desired import Engine
from framepilot.contract.observed import ObservedModule, ObservedState
from framepilot.resources.meta import ObjectMeta
from framepilot.resources.profile import MEASURED_LABEL, ModelProfile, ModelProfileSpec, ProfilePoint
from framepilot.resources.quantities import format_duration
from framepilot.resources.service import InferenceService
from framepilot_operator.planning.profile import ModuleProfile, from_observed, from_resource

SHORTEST_MS = 0.001
"""The shortest duration that a resource can hold."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a profile is of; with None as digest or engine, of any."""

    model: str
    version: str
    sha256: str | None
    device_class: str
    engine: str | None

    def profiles(self, resources: Sequence[ModelProfile]) -> list[ModelProfile]:
        """Those that are of it."""
        return [resource for resource in resources if self._is_of(resource.spec)]

    def _is_of(self, spec: ModelProfileSpec) -> bool:
        return (
            (spec.model, spec.version, spec.device_class) == (self.model, self.version, self.device_class)
            and (None in {spec.sha256, self.sha256} or spec.sha256 == self.sha256)
            and (None in {spec.engine, self.engine} or spec.engine == self.engine)
        )


def profiles_in_force(
    service: InferenceService, uid: str, observed: ObservedState | None, resources: Sequence[ModelProfile]
) -> dict[tuple[str, str], ModuleProfile]:
    """By (service, module): the profiles of one service's modules, as far as there are any."""
    if observed is None:
        return {}
    found: dict[tuple[str, str], ModuleProfile] = {}
    answers = observed.modules_of(service.key, uid)
    for module in service.spec.modules:
        answer = answers.get(module.name)
        serving = None if answer is None else answer.serving
        version = module.model.version if serving is None else serving.version
        digest = module.model.sha256 if serving is None else serving.sha256
        engine = None if module.model.engine is Engine.AUTO else module.model.engine.value
        measured = from_observed(answer.profile) if answer is not None else None
        if measured is None:
            subject = Subject(module.model.name, version, digest, observed.device.plain_class, engine)
            measured = _preferred(subject.profiles(resources))
        if measured is not None:
            found[service.key, module.name] = measured
    return found


def unrecorded(namespace: str, observed: ObservedState, resources: Sequence[ModelProfile]) -> Iterator[ModelProfile]:
    """A resource for each measured profile that no resource holds yet, or of which each holds fewer batch sizes."""
    taken = {resource.key for resource in resources if not resource.measured}
    for module in observed.modules:
        subject = _subject(module, observed)
        if subject is None:
            continue
        sizes = {point.batch for point in module.profile}
        kept = subject.profiles(resources)
        if any(sizes <= {point.batch for point in profile.spec.points} for profile in kept):
            continue
        made = _resource(namespace, subject, _points(module, recorded(module, observed, resources)))
        if made.key not in taken:
            yield made


def recorded(module: ObservedModule, observed: ObservedState, resources: Sequence[ModelProfile]) -> ModelProfile | None:
    """The resource that was made of what an instance measured of a module's version; None if there is none."""
    subject = _subject(module, observed)
    kept = [] if subject is None else subject.profiles(resources)
    return next((profile for profile in kept if profile.measured), None)


def _subject(module: ObservedModule, observed: ObservedState) -> Subject | None:
    serving = module.serving
    if serving is None or not module.profile:
        return None
    return Subject(module.model, serving.version, serving.sha256, observed.device.plain_class, module.engine)


def _preferred(profiles: Sequence[ModelProfile]) -> ModuleProfile | None:
    """A person's, the first of them; else that of the engine that is fastest, as it would be chosen."""
    known = [(each.measured, profile) for each in profiles if (profile := from_resource(each)) is not None]

    def item_ms(profile: ModuleProfile) -> float:
        return profile.typical_ms(profile.largest) / profile.largest

    _, first = min(known, key=lambda each: (each[0], item_ms(each[1]) if each[0] else 0.0), default=(False, None))
    return first


def _points(module: ObservedModule, before: ModelProfile | None) -> tuple[ProfilePoint, ...]:
    """What was measured now; of sizes that were not, what was before: instances may have different ones."""
    known = {} if before is None else {point.batch: point for point in before.spec.points}
    for point in module.profile:
        known[point.batch] = profile_point(point.batch, point.p50_ms, point.p99_ms)
    return tuple(known[size] for size in sorted(known))


def profile_point(batch: int, p50_ms: float, p99_ms: float) -> ProfilePoint:
    """A batch size as a resource holds it."""
    return ProfilePoint(
        batch=batch,
        p50=format_duration(max(p50_ms, SHORTEST_MS)),
        p99=format_duration(max(p99_ms, p50_ms, SHORTEST_MS)),
    )


def _resource(namespace: str, subject: Subject, points: tuple[ProfilePoint, ...]) -> ModelProfile:
    return ModelProfile(
        metadata=ObjectMeta(name=_name(subject), namespace=namespace, labels={MEASURED_LABEL: "true"}),
        spec=ModelProfileSpec(
            model=subject.model,
            version=subject.version,
            sha256=subject.sha256,
            device_class=subject.device_class,
            engine=subject.engine,
            points=points,
        ),
    )


def _name(subject: Subject) -> str:
    """The same for the same content of a model on the same device class and engine, whatever its version is called."""
    of = f"{subject.sha256} {subject.device_class} {subject.engine}"
    short_class = re.sub(r"[^a-z0-9]+", "-", subject.device_class)[:20].strip("-")
    return f"{subject.model[:29].strip('-')}-{hashlib.sha256(of.encode()).hexdigest()[:12]}-{short_class}"
