"""An InferenceService as a command reads it: with its status, and the same from a cluster and from a local session.

Read tolerantly, because a cluster may have another version of the CRD than this command line.
"""

from __future__ import annotations

from typing import Final, Literal, TypeVar

from pydantic import Field, JsonValue

from framepilot.resources.service import Batching, BatchingMode
from framepilot_operator.commands.context_error import ContextError
from framepilot_operator.manifests.seen import Seen

Json = dict[str, JsonValue]
V = TypeVar("V", bound=Seen)

AUTO: Final = "auto"

# What is neither good nor bad is not in it.
GOOD: Final = {
    "Ready": "True",
    "Stalled": "False",
    "Feasible": "True",
    "ModelsReady": "True",
    "StreamsReady": "True",
    "ObjectiveMet": "True",
}

_DEFAULTS: Final = Batching()


class BatchingView(Seen):
    """How the batch size is declared; what is absent is as the API server would default it."""

    mode: str = _DEFAULTS.mode.value
    min: int = _DEFAULTS.min
    max: int = _DEFAULTS.max
    size: int | None = None

    @property
    def declared(self) -> str:
        """The fixed size, or 'auto'."""
        return AUTO if self.mode == BatchingMode.AUTO.value else str(self.size)

    @property
    def bounds(self) -> dict[str, int]:
        """Of `min` and `max`, those that are not the defaults: an API server fills in the others."""
        given = {"min": self.min, "max": self.max}
        return {name: value for name, value in given.items() if value != getattr(_DEFAULTS, name)}


class ModelView(Seen):
    """The declared model of a module."""

    name: str
    version: str
    sha256: str | None = None


class ModuleView(Seen):
    """A declared module."""

    name: str
    model: ModelView
    batching: BatchingView | None = None


class SpecView(Seen):
    """What is declared."""

    modules: tuple[ModuleView, ...] = ()
    batching: BatchingView = BatchingView()


class ModuleStatusView(Seen):
    """What was reported of a module."""

    name: str
    serving: str | None = None
    candidate: str | None = None
    batch: int | None = None
    refused: str | None = None


class ConditionView(Seen):
    """A reported condition."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str = ""
    message: str = ""

    @property
    def bad(self) -> bool:
        """Whether it is known not to be as it should be."""
        return self.type in GOOD and self.status not in {GOOD[self.type], "Unknown"}


class PlannedModuleView(Seen):
    """What is planned for a module; durations and shares as they are written."""

    name: str
    batch: int | None = None
    max_wait: str | None = None
    budget: str | None = None
    latency: str | None = None
    utilization: str | None = None
    reason: str = ""
    tuning: str = ""

    @property
    def why(self) -> str:
        """Why it is so, and what was found since."""
        return "; ".join(filter(None, (self.reason, self.tuning)))


class PlanView(Seen):
    """What is planned for a service."""

    latency: str | None = None
    utilization: str | None = None
    cost_per_hour: str | None = None
    reason: str = ""
    modules: tuple[PlannedModuleView, ...] = ()


class StatusView(Seen):
    """What was reported."""

    observed_generation: int = -1
    conditions: tuple[ConditionView, ...] = ()
    modules: tuple[ModuleStatusView, ...] = ()
    plan: PlanView | None = None


class MetadataView(Seen):
    """Which resource it is, which version of it."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""


class ServiceView(Seen):
    """A service, declaration and status."""

    metadata: MetadataView
    spec: SpecView
    status: StatusView = Field(default_factory=StatusView)

    @property
    def key(self) -> str:
        """`<namespace>/<name>`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def seen(self) -> bool:
        """Whether the status is about the newest declaration."""
        return self.status.observed_generation >= self.metadata.generation

    def condition(self, kind: str) -> ConditionView | None:
        """A condition by its type."""
        return next((condition for condition in self.status.conditions if condition.type == kind), None)

    def module(self, name: str) -> ModuleView | None:
        """A declared module by its name."""
        return next((module for module in self.spec.modules if module.name == name), None)

    def batching_of(self, module: ModuleView) -> BatchingView:
        """The batching in force for a module: its own, else the service's."""
        return module.batching or self.spec.batching

    def reported(self, name: str) -> ModuleStatusView:
        """What is known of a module; nothing before it was reported."""
        found = (module for module in self.status.modules if module.name == name)
        return next(found, ModuleStatusView(name=name))


def view(document: Json) -> ServiceView:
    """The service of a JSON document.

    Raises:
        ContextError: it is of a version that cannot be read.
    """
    return read_as(ServiceView, "service", document)


def read_as(kind: type[V], what: str, document: Json) -> V:
    """What a JSON document says; `what` it is, for the error.

    Raises:
        ContextError: it is of a version that cannot be read.
    """
    try:
        return kind.model_validate(document)
    except ValueError as error:
        raise ContextError(
            f"the {what} cannot be read; is this framepilot older than the cluster's? {error}"
        ) from error


def key_of(document: Json) -> str:
    """`<namespace>/<name>` of any resource."""
    metadata = document["metadata"]
    return f"{metadata.get('namespace', 'default')}/{metadata['name']}" if isinstance(metadata, dict) else ""
