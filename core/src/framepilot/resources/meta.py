"""What every resource has: its type, its metadata, and the conditions of its status.

A resource is a JSON document of `framepilot.dev/v1alpha1`. Of Kubernetes' metadata only what Framepilot reads is
listed; the rest (managed fields, owner references, ...) is let through unread, as it belongs to the API server.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, ConfigDict, Field

from framepilot.contract.document import Document
from framepilot.resources.text import Name

GROUP: Final = "framepilot.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "framepilot.dev/v1alpha1"


class ResourcePart(Document):
    """A part of a resource. The text below a field is what `kubectl explain` shows."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ObjectMeta(ResourcePart):
    """The metadata that Framepilot reads; `uid` and `generation` are the API server's."""

    model_config = ConfigDict(extra="ignore")

    name: Name
    namespace: Name = "default"
    uid: str | None = None
    generation: int | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """`namespace/name`: how the contract between operator and app names the resource."""
        return f"{self.namespace}/{self.name}"


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ResourcePart):
    """One fact about a resource."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    """What the fact is about: Ready, Reconciling, ..."""
    status: ConditionStatus
    reason: Annotated[str, Field(min_length=1, max_length=128)]
    """Why, in one CamelCase word."""
    message: Annotated[str, Field(max_length=4096)]
    """Why, in a sentence for a person."""
    last_transition_time: AwareDatetime
    """When `status` changed last."""
    observed_generation: Annotated[int, Field(ge=0)]
    """The generation of the resource that this was said of."""
