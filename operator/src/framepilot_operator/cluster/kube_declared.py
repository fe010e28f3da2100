"""Declarations as the API server has them, and what is wrong with those that cannot be used.

The API server has checked the schema, but by the CRDs that are installed, which may be older or newer than this
operator; and what only makes sense on one machine it lets through, as the schema is the same there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final

from pydantic import AwareDatetime, Field, ValidationError

from framepilot.contract.document import DocumentError
from framepilot.resources.meta import Condition, ConditionStatus
from framepilot.resources.parse import parse_resource
from framepilot.resources.profile import ModelProfile
from framepilot.resources.service import InferenceService, InferenceServiceStatus
from framepilot.resources.uris import is_file
from framepilot_operator.cluster.kube_api import JsonObject
from framepilot_operator.cluster.port import DeclaredService
from framepilot_operator.manifests.names import MANAGED_BY, MANAGED_BY_LABEL
from framepilot_operator.manifests.seen import Seen, SeenMeta

INVALID: Final = "InvalidDeclaration"


class _Writer(Seen):
    """Who wrote which fields of an object, and when."""

    time: AwareDatetime | None = None
    subresource: str = ""
    fields_v1: dict[str, object] = Field(default_factory=dict, alias="fieldsV1")


class _Writers(Seen):
    managed_fields: tuple[_Writer, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldService:
    """An InferenceService. `problem`: why it cannot be used; then `declared` is None."""

    metadata: SeenMeta
    status: InferenceServiceStatus
    declared: DeclaredService | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class HeldProfile:
    """A ModelProfile; None if it cannot be read. `measured`: the operator wrote it."""

    metadata: SeenMeta
    profile: ModelProfile | None
    problem: str | None
    measured: bool


def read_service(manifest: JsonObject) -> HeldService:
    """An InferenceService from its JSON."""
    metadata = SeenMeta.model_validate(manifest["metadata"])
    status = _status(manifest)
    try:
        # A status that another operator wrote is no reason to refuse the declaration.
        resource = parse_resource({**manifest, "status": {}}, f"inferenceservices.framepilot.dev {metadata.key}")
    except DocumentError as error:
        return HeldService(metadata, status, None, "; ".join(error.problems))
    problems = [*_relative(resource)] if isinstance(resource, InferenceService) else ["it is no InferenceService"]
    if problems or not isinstance(resource, InferenceService):
        return HeldService(metadata, status, None, "; ".join(problems))
    resource = resource.model_copy(update={"status": status})
    declared = DeclaredService(resource, metadata.uid, metadata.generation, _changed_at(manifest, metadata))
    return HeldService(metadata, status, declared)


def read_profile(manifest: JsonObject) -> HeldProfile:
    """A ModelProfile from its JSON."""
    metadata = SeenMeta.model_validate(manifest["metadata"])
    measured = metadata.labels.get(MANAGED_BY_LABEL) == MANAGED_BY
    try:
        profile = parse_resource(manifest, f"modelprofiles.framepilot.dev {metadata.key}")
    except DocumentError as error:
        return HeldProfile(metadata, None, "; ".join(error.problems), measured)
    return HeldProfile(metadata, profile if isinstance(profile, ModelProfile) else None, None, measured)


def invalid_status(before: InferenceServiceStatus, generation: int, problem: str, now: float) -> InferenceServiceStatus:
    """The status of a service whose newest declaration cannot be used; what it declared before goes on running."""
    known = {condition.type: condition for condition in before.conditions}
    message = f"The newest declaration is not used, what was declared before goes on: {problem}"[:4096]
    ready = known.get("Ready")
    said = [
        ("Ready", ready.status, ready.reason, ready.message)
        if ready is not None
        else ("Ready", ConditionStatus.FALSE, INVALID, message),
        ("Reconciling", ConditionStatus.FALSE, INVALID, "Nothing is done until the declaration is mended."),
        ("Stalled", ConditionStatus.TRUE, INVALID, message),
    ]
    changed = tuple(_condition(known.get(each[0]), *each, generation, now) for each in said)
    others = tuple(each for each in before.conditions if each.type not in {"Ready", "Reconciling", "Stalled"})
    return before.model_copy(update={"observed_generation": generation, "conditions": (*changed, *others)})


def _relative(service: InferenceService) -> Iterator[str]:
    """What is relative to the folder of a YAML file, which there is on one machine only."""
    inside = "a path inside the instance's container, such as one below a mount of spec.template.volumeMounts"
    for position, stream in enumerate(service.spec.streams):
        if _is_relative(stream.source):
            yield f"spec.streams[{position}].source: '{stream.source}' is relative; write file:///, and {inside}"
    if _is_relative(service.spec.models.store):
        yield f"spec.models.store: '{service.spec.models.store}' is relative; write file:///, and {inside}"
    for position, sink in enumerate(service.spec.sinks):
        if sink.path is not None and not PurePosixPath(sink.path).is_absolute():
            yield f"spec.sinks[{position}].path: '{sink.path}' is relative; write {inside}, or below /tmp"


def _is_relative(uri: str) -> bool:
    return is_file(uri) and not uri.startswith("file:///")


def _changed_at(manifest: JsonObject, metadata: SeenMeta) -> float:
    """When somebody wrote the spec last: what the API server knows of it, to the second."""
    writers = _Writers.model_validate(manifest["metadata"]).managed_fields
    times = [
        writer.time.timestamp()
        for writer in writers
        if writer.time is not None and not writer.subresource and "f:spec" in writer.fields_v1
    ]
    return max(times, default=metadata.creation_timestamp.timestamp())


def _status(manifest: JsonObject) -> InferenceServiceStatus:
    """What was reported of a service that cannot be read; nothing, if that cannot be read either."""
    try:
        return InferenceServiceStatus.model_validate(manifest.get("status") or {})
    except ValidationError:
        return InferenceServiceStatus()


def _condition(
    before: Condition | None,
    type_: str,
    status: ConditionStatus,
    reason: str,
    message: str,
    generation: int,
    now: float,
) -> Condition:
    same = before is not None and before.status is status
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=before.last_transition_time
        if same and before is not None
        else datetime.fromtimestamp(math.floor(now), UTC),
        observed_generation=generation,
    )
