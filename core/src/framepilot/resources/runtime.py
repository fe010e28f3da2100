"""`InferenceRuntime`: an instance that the services naming it share, and what its pod needs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from framepilot.resources.meta import API_VERSION, Condition, ObjectMeta, ResourcePart
from framepilot.resources.quantities import Percent
from framepilot.resources.template import InstanceTemplate
from framepilot.resources.text import Name, list_atomic, list_map, list_set


class InferenceRuntimeSpec(ResourcePart):
    """What the instance runs in; what it runs is declared by the services that name it in `placement.runtimeRef`."""

    template: InstanceTemplate = InstanceTemplate()
    """What its pod has beside what Framepilot gives it; not used on one machine."""


class StageStatus(ResourcePart):
    """A beginning that the models of several modules have in common, which runs once for all of them."""

    modules: Annotated[
        tuple[Annotated[str, Field(max_length=191)], ...], Field(json_schema_extra={"maxItems": 256, **list_atomic()})
    ]
    """Its modules, each `namespace/service/module`; of more than 256 the first."""
    nodes: Annotated[int, Field(ge=0)]
    """The nodes of the graph in it."""
    share: Percent
    """Its part of the arithmetic of the largest model that uses it."""


class SharingStatus(ResourcePart):
    """What is there once for several models of the instance, as it was last while all of them served and none was
    being changed. How often it is used is in metrics."""

    since: AwareDatetime
    """Since when it is so."""
    parameters_unique_bytes: Annotated[int, Field(ge=0)] | None = None
    """Bytes of the models' parameters, each counted once; absent: the instance does not say."""
    parameters_referenced_bytes: Annotated[int, Field(ge=0)] | None = None
    """The same, each counted for every model that uses it."""
    stages: Annotated[tuple[StageStatus, ...], Field(json_schema_extra={"maxItems": 16, **list_atomic()})] = ()
    """What runs once for several modules; of more than 16 those with the most of the arithmetic."""


class InferenceRuntimeStatus(ResourcePart):
    """What was observed."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """The generation of the spec that this status is about; -1: none yet."""
    conditions: Annotated[tuple[Condition, ...], Field(json_schema_extra={"maxItems": 16, **list_map("type")})] = ()
    services: Annotated[tuple[Name, ...], Field(json_schema_extra={"maxItems": 256, **list_set()})] = ()
    """The names of the services that it runs."""
    sharing: SharingStatus | None = None
    """What its models share; absent: not known yet, or it runs no service."""


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
