"""`ModelProfile`: the measured latency of one model version by batch size on one device class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from framepilot.contract.graph import duplicates
from framepilot.resources.meta import API_VERSION, ObjectMeta, ResourcePart
from framepilot.resources.quantities import DURATION, Duration, duration_ms
from framepilot.resources.text import DeviceClass, Digest, Name, Version, list_map, rules

MEASURED_LABEL: Final = "framepilot.dev/measured"
"""On a profile that the operator wrote, as "true"; any other is a person's."""


def labelled_as_measured(labels: Mapping[str, str]) -> bool:
    """Whether these are the labels of a profile that the operator wrote, and may write anew."""
    return labels.get(MEASURED_LABEL) == "true"


# duration() fails on text that is not one, and that text has a message of its own.
_BOTH_DURATIONS: Final = f"{DURATION.matches('self.p50')} && {DURATION.matches('self.p99')}"
_ORDERED: Final = f"!({_BOTH_DURATIONS}) || duration(self.p50) <= duration(self.p99)"


class ProfilePoint(ResourcePart):
    """How long one batch of one size takes."""

    model_config = ConfigDict(json_schema_extra=rules((_ORDERED, "p50 must not be longer than p99")))

    batch: Annotated[int, Field(ge=1, le=256)]
    p50: Duration
    """The median, such as `12.5ms`."""
    p99: Duration
    """The 99th percentile."""

    @property
    def p50_ms(self) -> float:
        """The median in milliseconds."""
        return duration_ms(self.p50)

    @property
    def p99_ms(self) -> float:
        """The 99th percentile in milliseconds."""
        return duration_ms(self.p99)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.p50_ms > self.p99_ms:
            raise ValueError(f"p50 {self.p50} is longer than p99 {self.p99}; a median never is")
        return self


class ModelProfileSpec(ResourcePart):
    """What was measured, and of what."""

    model: Name
    version: Version
    sha256: Digest | None = None
    """The digest of the version's `model.yaml`."""
    device_class: DeviceClass
    """The class of the device, such as `cpu` or `nvidia-t4`."""
    engine: Name | None = None
    """The engine that ran it, such as `torch`; absent: it counts for every engine."""
    points: Annotated[
        tuple[ProfilePoint, ...], Field(json_schema_extra={"minItems": 1, "maxItems": 64, **list_map("batch")})
    ]
    """The measured batch sizes."""


class ModelProfile(ResourcePart):
    """The measured latency of one model version by batch size on one device class."""

    api_version: Literal["framepilot.dev/v1alpha1"] = API_VERSION
    kind: Literal["ModelProfile"] = "ModelProfile"
    metadata: ObjectMeta
    spec: ModelProfileSpec

    @model_validator(mode="after")
    def _points(self) -> Self:
        problems = duplicates("spec.points", [f"batch {point.batch}" for point in self.spec.points])
        if not self.spec.points:
            problems = ["spec.points: the profile is empty; list at least one batch size"]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return self.metadata.key

    @property
    def measured(self) -> bool:
        """Whether the operator wrote it, and may write it anew."""
        return labelled_as_measured(self.metadata.labels)
