"""`InferenceRuntime`: an instance that the services naming it share, and what its pod needs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from framepilot.resources.meta import API_VERSION, Condition, ObjectMeta, ResourcePart
from framepilot.resources.template import InstanceTemplate
from framepilot.resources.text import Name, list_map, list_set


class InferenceRuntimeSpec(ResourcePart):
    """What the instance runs in; what it runs is declared by the services that name it in `placement.runtimeRef`."""

    template: InstanceTemplate = InstanceTemplate()
    """What its pod has beside what Framepilot gives it; not used on one machine."""


class InferenceRuntimeStatus(ResourcePart):
    """What was observed."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """The generation of the spec that this status is about; -1: none yet."""
    conditions: Annotated[tuple[Condition, ...], Field(json_schema_extra={"maxItems": 16, **list_map("type")})] = ()
    services: Annotated[tuple[Name, ...], Field(json_schema_extra={"maxItems": 256, **list_set()})] = ()
    """The names of the services that it runs."""


class InferenceRuntime(ResourcePart):
    """An instance that services of its namespace share: those that name it in `placement.runtimeRef`."""

    api_version: Literal["framepilot.dev/v1alpha1"] = API_VERSION
    kind: Literal["InferenceRuntime"] = "InferenceRuntime"
    metadata: ObjectMeta
    spec: InferenceRuntimeSpec
    status: InferenceRuntimeStatus = InferenceRuntimeStatus()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return self.metadata.key
