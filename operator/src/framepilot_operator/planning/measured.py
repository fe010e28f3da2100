"""Which profile counts for a module, and which measurements are new enough to be kept.

What the instance itself measured of the version that it serves comes first; a `ModelProfile` of that version on that
device class is for the time before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from framepilot.contract.observed import ObservedModule, ObservedState
from framepilot.resources.meta import ObjectMeta
from framepilot.resources.profile import ModelProfile, ModelProfileSpec, ProfilePoint
from framepilot.resources.quantities import format_duration
from framepilot.resources.service import InferenceService
from framepilot_operator.planning.profile import ModuleProfile, from_observed, from_resource

SHORTEST_MS = 0.001
"""The shortest duration that a resource can hold."""


def profiles_in_force(
    service: InferenceService, uid: str, observed: ObservedState | None, resources: Sequence[ModelProfile]
) -> dict[tuple[str, str], ModuleProfile]:
    """By (service, module): the profiles of one service's modules, as far as there are any."""
    if observed is None:
        return {}
    found: dict[tuple[str, str], ModuleProfile] = {}
    answers = observed.modules_of(service.key, uid)
    device_class = device_class_of(observed)
    for module in service.spec.modules:
        answer = answers.get(module.name)
        serving = None if answer is None else answer.serving
        version = module.model.version if serving is None else serving.version
        digest = module.model.sha256 if serving is None else serving.sha256
        measured = from_observed(answer.profile) if answer is not None else None
        if measured is None:
            kept = _matching(resources, module.model.name, version, digest, device_class)
            measured = next((profile for profile in map(from_resource, kept) if profile is not None), None)
        if measured is not None:
            found[service.key, module.name] = measured
    return found


def unrecorded(namespace: str, observed: ObservedState, resources: Sequence[ModelProfile]) -> Iterator[ModelProfile]:
    """A resource for each measured profile that no resource holds yet, or of which one holds fewer batch sizes."""
    device_class = device_class_of(observed)
    for module in observed.modules:
        serving = module.serving
        if serving is None or not module.profile:
            continue
        sizes = {point.batch for point in module.profile}
        kept = _matching(resources, module.model, serving.version, serving.sha256, device_class)
        if not any(sizes <= {point.batch for point in profile.spec.points} for profile in kept):
            yield _resource(namespace, module, serving.version, serving.sha256, device_class)


def device_class_of(observed: ObservedState) -> str:
    """The device class as resources write it: a product name has spaces and capitals."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", observed.device.device_class.lower())
    return plain[:63].strip("-._") or "unknown"


def _matching(
    resources: Sequence[ModelProfile], model: str, version: str, sha256: str | None, device_class: str
) -> Iterator[ModelProfile]:
    for resource in resources:
        spec = resource.spec
        same = (spec.model, spec.version, spec.device_class) == (model, version, device_class)
        if same and (spec.sha256 is None or sha256 is None or spec.sha256 == sha256):
            yield resource


def _resource(namespace: str, module: ObservedModule, version: str, sha256: str, device_class: str) -> ModelProfile:
    return ModelProfile(
        metadata=ObjectMeta(name=_name(module.model, sha256, device_class), namespace=namespace),
        spec=ModelProfileSpec(
            model=module.model,
            version=version,
            sha256=sha256,
            device_class=device_class,
            points=tuple(
                ProfilePoint(
                    batch=point.batch,
                    p50=format_duration(max(point.p50_ms, SHORTEST_MS)),
                    p99=format_duration(max(point.p99_ms, point.p50_ms, SHORTEST_MS)),
                )
                for point in module.profile
            ),
        ),
    )


def _name(model: str, sha256: str, device_class: str) -> str:
    """The same for the same content of a model on the same device class, whatever its version is called."""
    short_class = re.sub(r"[^a-z0-9]+", "-", device_class)[:20].strip("-")
    return f"{model[:29].strip('-')}-{sha256[:12]}-{short_class}"
