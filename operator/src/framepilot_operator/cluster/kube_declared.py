"""Declarations as the API server has them, and what is wrong with those that cannot be used.

The API server has checked the schema, but by the CRDs that are installed, which may be older or newer than this
operator; and what only makes sense on one machine it lets through, as the schema is the same there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Protocol, TypeVar

from pydantic import AwareDatetime, Field, ValidationError

from framepilot.contract.document import DocumentError
from framepilot.resources.conditions import Finding, conditions
from framepilot.resources.meta import Condition, ConditionStatus
from framepilot.resources.parse import parse_resource
from framepilot.resources.profile import ModelProfile
from framepilot.resources.runtime import InferenceRuntime, InferenceRuntimeStatus
from framepilot.resources.service import InferenceService, InferenceServiceStatus
from framepilot.resources.template import InstanceTemplate
from framepilot.resources.uris import is_file
from framepilot_operator.cluster.kube_api import JsonObject
from framepilot_operator.cluster.port import DeclaredRuntime, DeclaredService
from framepilot_operator.manifests.names import IMPLICIT_LABEL
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.manifests.seen import Seen, SeenMeta

INVALID: Final = "InvalidDeclaration"

S = TypeVar("S", InferenceServiceStatus, InferenceRuntimeStatus)


class _Writer(Seen):
    """Who wrote which fields of an object, and when."""

    time: AwareDatetime | None = None
    subresource: str = ""
    fields_v1: dict[str, object] = Field(default_factory=dict, alias="fieldsV1")


class _Writers(Seen):
    managed_fields: tuple[_Writer, ...] = ()


class HeldOwner(Protocol):
    """What owns an instance. `problem`: why it cannot be used; then `template` is None."""

    @property
    def metadata(self) -> SeenMeta:
        """Its metadata."""

    @property
    def owner(self) -> Owner:
        """It, as an owner."""

    @property
    def problem(self) -> str | None:
        """Why it cannot be used."""

    @property
    def template(self) -> InstanceTemplate | None:
        """What the pod of its instance has."""


@dataclass(frozen=True, slots=True)
class HeldService:
    """An InferenceService. `problem`: why it cannot be used; then `declared` is None."""

    metadata: SeenMeta
    status: InferenceServiceStatus
    declared: DeclaredService | None
    problem: str | None = None

    @property
    def owner(self) -> Owner:
        """It, as the owner of an instance."""
        return Owner.service(self.metadata.key)

    @property
    def template(self) -> InstanceTemplate | None:
        """What the pod of its instance has."""
        return None if self.declared is None else self.declared.resource.spec.template


@dataclass(frozen=True, slots=True)
class HeldRuntime:
    """An InferenceRuntime. `problem`: why it cannot be used; then `declared` is None."""

    metadata: SeenMeta
    status: InferenceRuntimeStatus
    declared: DeclaredRuntime | None
    problem: str | None = None

    @property
    def owner(self) -> Owner:
        """It, as the owner of an instance."""
        return Owner.runtime(self.metadata.key)

    @property
    def template(self) -> InstanceTemplate | None:
        """What the pod of its instance has."""
        return None if self.declared is None else self.declared.resource.spec.template


@dataclass(frozen=True, slots=True)
class HeldProfile:
    """A ModelProfile; None if it cannot be read."""

    metadata: SeenMeta
    profile: ModelProfile | None
    problem: str | None


def read_service(manifest: JsonObject) -> HeldService:
    """An InferenceService from its JSON."""
    metadata = SeenMeta.model_validate(manifest["metadata"])
    status = _status(manifest, InferenceServiceStatus)
    try:
        # A status that another operator wrote is no reason to refuse the declaration.
        resource = parse_resource({**manifest, "status": {}}, f"inferenceservices.framepilot.dev {metadata.key}")
    except DocumentError as error:
        return HeldService(metadata, status, None, "; ".join(error.problems))
    problems = [*_relative(resource)] if isinstance(resource, InferenceService) else ["it is no InferenceService"]
    if problems or not isinstance(resource, InferenceService):
        return HeldService(metadata, status, None, "; ".join(problems))
    resource = resource.model_copy(update={"status": status})
    declared = DeclaredService(
        resource=resource,
        uid=metadata.uid,
        generation=metadata.generation,
        changed_at=_changed_at(manifest, metadata),
        devices=resource.spec.template.devices,
    )
    return HeldService(metadata, status, declared)


def read_runtime(manifest: JsonObject) -> HeldRuntime:
    """An InferenceRuntime from its JSON."""
    metadata = SeenMeta.model_validate(manifest["metadata"])
    status = _status(manifest, InferenceRuntimeStatus)
    try:
        resource = parse_resource({**manifest, "status": {}}, f"inferenceruntimes.framepilot.dev {metadata.key}")
    except DocumentError as error:
        return HeldRuntime(metadata, status, None, "; ".join(error.problems))
    if not isinstance(resource, InferenceRuntime):
        return HeldRuntime(metadata, status, None, "it is no InferenceRuntime")
    declared = DeclaredRuntime(
        resource=resource.model_copy(update={"status": status}),
        uid=metadata.uid,
        generation=metadata.generation,
        implicit=metadata.labels.get(IMPLICIT_LABEL) == "true",
        services=frozenset(owner.uid for owner in metadata.owner_references),
    )
    return HeldRuntime(metadata, status, declared)


def read_profile(manifest: JsonObject) -> HeldProfile:
    """A ModelProfile from its JSON."""
    metadata = SeenMeta.model_validate(manifest["metadata"])
    try:
        profile = parse_resource(manifest, f"modelprofiles.framepilot.dev {metadata.key}")
    except DocumentError as error:
        return HeldProfile(metadata, None, "; ".join(error.problems))
    return HeldProfile(metadata, profile if isinstance(profile, ModelProfile) else None, None)


def invalid_status(before: S, generation: int, problem: str, now: float) -> S:
    """The status of what cannot be used as it is declared now; what was declared before goes on running."""
    following = _invalid(before.conditions, generation, problem, now)
    return before.model_copy(update={"observed_generation": generation, "conditions": following})


def _invalid(before: Sequence[Condition], generation: int, problem: str, now: float) -> tuple[Condition, ...]:
    message = f"The newest declaration is not used, what was declared before goes on: {problem}"
    findings = (
        _ready(before, message),
        Finding("Reconciling", ConditionStatus.FALSE, INVALID, "Nothing is done until the declaration is mended."),
        Finding("Stalled", ConditionStatus.TRUE, INVALID, message),
    )
    said = {finding.type for finding in findings}
    others = (condition for condition in before if condition.type not in said)
    return (*conditions(findings, before, generation, now), *others)


def _ready(before: Sequence[Condition], message: str) -> Finding:
    """As it was, as what ran goes on running."""
    for condition in before:
        if condition.type == "Ready":
            return Finding(condition.type, condition.status, condition.reason, condition.message)
    return Finding("Ready", ConditionStatus.FALSE, INVALID, message)


def _relative(service: InferenceService) -> Iterator[str]:
    """What is relative to the folder of a YAML file, which there is on one machine only."""
    inside = "a path inside the instance's container, such as one below a mount of spec.template.volumeMounts"
    for position, stream in enumerate(service.spec.streams):
        if _is_relative(stream.source):
            yield f"spec.streams[{position}].source: '{stream.source}' is relative; write file:///, and {inside}"
    if _is_relative(service.spec.models.store):
        yield f"spec.models.store: '{service.spec.models.store}' is relative; write file:///, and {inside}"
    for position, sink in enumerate(service.spec.sinks):
        for field, path in sink.paths().items():
            if not PurePosixPath(path).is_absolute():
                yield f"spec.sinks[{position}].{field}: '{path}' is relative; write {inside}, or below /tmp"


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


def _status(manifest: JsonObject, kind: type[S]) -> S:
    """What was reported of something that cannot be read; nothing, if that cannot be read either."""
    try:
        return kind.model_validate(manifest.get("status") or {})
    except ValidationError:
        return kind()
