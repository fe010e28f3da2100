"""`InferenceService`: streams, a pipeline of models and a latency objective; what a user declares.

A rule stands here twice, side by side: as a validator for files on one machine, and as a CEL rule for the API server.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from framepilot.contract.desired import Engine
from framepilot.contract.graph import duplicates, module_graph_problems
from framepilot.resources.meta import API_VERSION, Condition, ObjectMeta, ResourcePart
from framepilot.resources.placement import Placement
from framepilot.resources.plan import PlanStatus
from framepilot.resources.quantities import Duration, Percent, Promise, duration_ms, fraction
from framepilot.resources.sink import Sink
from framepilot.resources.stream import Stream
from framepilot.resources.template import InstanceTemplate
from framepilot.resources.text import Digest, Name, ObjectName, Version, list_map, list_set, rules
from framepilot.resources.uris import StoreUri

BatchSize = Annotated[int, Field(ge=1, le=256)]

_SAY_RUNTIMES_TEMPLATE = "the template is that of the runtime that runtimeRef names; move it there"
_EARLIER = "self.all(i, m, !has(m.inputs) || m.inputs.all(n, self.exists(j, p, j < i && p.name == n)))"


class ModelVersion(ResourcePart):
    """One version of one model in the store."""

    name: Name
    version: Version
    sha256: Digest | None = None
    """The digest of its `model.yaml`; absent: whatever the store has."""
    engine: Engine = Engine.TORCH
    """What runs it. auto: the engine that is measured to be the fastest on the device, which takes longer to load."""


class Where(ResourcePart):
    """Which detections of the input module become items of this one."""

    min_score: Percent = "0%"
    """The lowest score, such as `60%`."""

    @property
    def min_score_fraction(self) -> float:
        """The lowest score, 0..1."""
        return fraction(self.min_score)


class BatchingMode(StrEnum):
    """Who chooses the batch size."""

    AUTO = "Auto"
    FIXED = "Fixed"


class Batching(ResourcePart):
    """How many items run in one batch at most: chosen from the measured profile, or fixed."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.mode != 'Auto' || self.min <= self.max", "min must not be larger than max; raise max or lower min"),
            ("self.mode != 'Fixed' || has(self.size)", "mode Fixed needs size; add it, or write mode: Auto"),
            ("self.mode != 'Auto' || !has(self.size)", "size is for mode Fixed; remove it, or write mode: Fixed"),
        )
    )

    mode: BatchingMode = BatchingMode.AUTO
    """Auto: between min and max. Fixed: size."""
    min: BatchSize = 1
    max: BatchSize = 32
    size: BatchSize | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mode is BatchingMode.FIXED and self.size is None:
            raise ValueError("mode Fixed needs size; add it, or write mode: Auto")
        if self.mode is BatchingMode.AUTO and self.size is not None:
            raise ValueError("size is for mode Fixed; remove it, or write mode: Fixed")
        if self.mode is BatchingMode.AUTO and self.min > self.max:
            raise ValueError(f"min {self.min} is larger than max {self.max}; raise max or lower min")
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest batch size that may be chosen."""
        return (self.min, self.max) if self.size is None else (self.size, self.size)


class Module(ResourcePart):
    """One model's step: on frames, or with an input on each detection of an earlier module."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.where) || (has(self.inputs) && size(self.inputs) > 0)",
                "where selects detections of an input; add inputs, or remove where",
            ),
        )
    )

    name: Name
    inputs: Annotated[tuple[Name, ...], Field(json_schema_extra={"maxItems": 1, **list_set()})] = ()
    """The earlier module whose detections are the items; absent: the frame is the item."""
    where: Where | None = None
    model: ModelVersion
    batching: Batching | None = None
    """Instead of the service's."""

    @model_validator(mode="after")
    def _where_needs_an_input(self) -> Self:
        if self.where is not None and not self.inputs:
            raise ValueError("where selects detections of an input; add inputs, or remove where")
        return self


class Models(ResourcePart):
    """Where models come from."""

    store: StoreUri
    """`file:///absolute/folder`, `file:relative/folder` or `https://host/folder`, with `<model>/<version>` below it."""

    def uri_of(self, model: ModelVersion) -> str:
        """The folder of one version."""
        return f"{self.store.rstrip('/')}/{model.name}/{model.version}"


class Objective(ResourcePart):
    """What the service shall reach."""

    latency: Duration
    """From the decoded frame to the sinks, such as `200ms` or `1.5s`."""
    attainment: Promise = "99%"
    """The share of frames that are to keep to it, such as `99%`; those passed over for a newer one do not count."""

    @property
    def latency_ms(self) -> float:
        """The latency in milliseconds."""
        return duration_ms(self.latency)

    @property
    def attainment_fraction(self) -> float:
        """The share of frames, 0..1."""
        return fraction(self.attainment)


class InferenceServiceSpec(ResourcePart):
    """What the user wants."""

    model_config = ConfigDict(
        json_schema_extra=rules(("!has(self.placement.runtimeRef) || !has(self.template)", _SAY_RUNTIMES_TEMPLATE))
    )

    streams: Annotated[tuple[Stream, ...], Field(json_schema_extra={"minItems": 1, "maxItems": 64, **list_map("name")})]
    credentials_secret_name: ObjectName | None = None
    """The Secret with user names and passwords, in keys `<stream>.username` and `<stream>.password`; those that are
    changed are used at the next opening. On one machine, a folder of this name below `--credentials`."""
    modules: Annotated[
        tuple[Module, ...],
        Field(
            json_schema_extra={
                "minItems": 1,
                "maxItems": 64,
                **list_map("name"),
                **rules((_EARLIER, "every input must name a module that stands earlier in the list")),
            }
        ),
    ]
    """The pipeline: a module's inputs stand before it."""
    models: Models
    objective: Objective
    batching: Batching = Batching()
    sinks: Annotated[tuple[Sink, ...], Field(json_schema_extra={"maxItems": 16, **list_map("name")})] = ()
    placement: Placement = Placement()
    template: InstanceTemplate = InstanceTemplate()
    """What its pod has beside what Framepilot gives it; not used on one machine."""

    @model_validator(mode="after")
    def _one_template(self) -> Self:
        if self.placement.runtime_ref is not None and self.template != InstanceTemplate():
            raise ValueError(_SAY_RUNTIMES_TEMPLATE)
        return self

    @property
    def elastic(self) -> bool:
        """Whether some of its streams give frames as fast as they are served."""
        return any(stream.elastic for stream in self.streams)

    def batching_of(self, module: Module) -> Batching:
        """The batching in force for a module: its own, else the service's."""
        return module.batching or self.batching


class ModuleStatus(ResourcePart):
    """What is known of one module. Versions, not measurements: nothing here changes with every batch."""

    name: Name
    serving: Version | None = None
    """The version that serves."""
    candidate: Version | None = None
    """The version that is being rolled out."""
    batch: BatchSize | None = None
    """The batch size in force."""
    refused: Version | None = None
    """The version that was refused; the condition ModelsReady says why."""


class InferenceServiceStatus(ResourcePart):
    """What was observed."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """The generation of the spec that this status is about; -1: none yet."""
    conditions: Annotated[tuple[Condition, ...], Field(json_schema_extra={"maxItems": 16, **list_map("type")})] = ()
    modules: Annotated[tuple[ModuleStatus, ...], Field(json_schema_extra={"maxItems": 64, **list_map("name")})] = ()
    instances: Annotated[tuple[Name, ...], Field(json_schema_extra={"maxItems": 64, **list_set()})] = ()
    """The names of the instances that run it."""
    plan: PlanStatus | None = None
    """What is planned for it; absent: nothing yet."""
    attainment: Percent | None = None
    """About the share of frames within the objective's latency: the objective's own while that is met, and else it
    moves only when the odds of a miss have doubled or halved; absent: too few frames have ended."""


class InferenceService(ResourcePart):
    """Streams, a pipeline of models and a latency objective."""

    api_version: Literal["framepilot.dev/v1alpha1"] = API_VERSION
    kind: Literal["InferenceService"] = "InferenceService"
    metadata: ObjectMeta
    spec: InferenceServiceSpec
    status: InferenceServiceStatus = InferenceServiceStatus()

    @model_validator(mode="after")
    def _names_and_graph(self) -> Self:
        spec = self.spec
        problems = [
            *(["modules: the pipeline is empty; list at least one module"] if not spec.modules else []),
            *(["streams: there is no stream; list at least one"] if not spec.streams else []),
            *duplicates("streams", [stream.name for stream in spec.streams]),
            *duplicates("sinks", [sink.name for sink in spec.sinks]),
            *module_graph_problems([(module.name, module.inputs) for module in spec.modules]),
        ]
        if problems:
            raise ValueError("; ".join(f"spec.{problem}" for problem in problems))
        return self

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return self.metadata.key
