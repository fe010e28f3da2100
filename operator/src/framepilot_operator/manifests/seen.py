"""Objects as the API server has them: of each kind the fields that are read here, and nothing else is kept.

What is not listed is let through unread, so an object of a newer server is read as well as one of an older.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from framepilot_operator.manifests.names import PRICE_LABEL, owner_of
from framepilot_operator.manifests.owner import Owner


class Seen(BaseModel):
    """A part of an object that was read."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class SeenOwner(Seen):
    """An owner reference."""

    uid: str
    controller: bool = False


class SeenMeta(Seen):
    """Metadata, without who wrote what; the namespace is empty for what is of the whole cluster."""

    name: str
    namespace: str = ""
    uid: str
    resource_version: str
    generation: int = 0
    creation_timestamp: AwareDatetime
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: tuple[SeenOwner, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def owner(self) -> Owner | None:
        """What it belongs to by its labels."""
        return owner_of(self.namespace, self.labels)

    @property
    def owner_uid(self) -> str | None:
        """The uid of the object that controls it."""
        return next((owner.uid for owner in self.owner_references if owner.controller), None)

    @property
    def ending(self) -> bool:
        """Whether it is being deleted."""
        return self.deletion_timestamp is not None


class SeenCondition(Seen):
    """A condition of a built-in kind."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class SeenDeploymentStatus(Seen):
    """Of a Deployment's status, its conditions."""

    conditions: tuple[SeenCondition, ...] = ()


class SeenDeployment(Seen):
    """A Deployment."""

    metadata: SeenMeta
    status: SeenDeploymentStatus = SeenDeploymentStatus()

    @property
    def failure(self) -> str | None:
        """Why it gets no pod."""
        return next((each.message for each in self.status.conditions if each.type == "ReplicaFailure"), None)


class SeenService(Seen):
    """A Service."""

    metadata: SeenMeta


class SeenConfigMap(Seen):
    """A ConfigMap."""

    metadata: SeenMeta
    data: dict[str, str] = Field(default_factory=dict)


class SeenWaiting(Seen):
    """A container that waits."""

    reason: str = ""
    message: str = ""


class SeenTerminated(Seen):
    """A container that ended; `message` is what kubelet took from the end of its log."""

    exit_code: int = 0
    signal: int | None = None
    reason: str = ""
    message: str = ""


class SeenContainerState(Seen):
    """What a container does."""

    waiting: SeenWaiting | None = None
    running: dict[str, object] | None = None
    terminated: SeenTerminated | None = None


class SeenContainer(Seen):
    """The status of a container."""

    name: str
    image: str = ""
    started: bool | None = None
    restart_count: int = 0
    state: SeenContainerState = SeenContainerState()
    last_state: SeenContainerState = SeenContainerState()


class SeenPodStatus(Seen):
    """The status of a pod."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    pod_ip: str | None = Field(None, alias="podIP")
    conditions: tuple[SeenCondition, ...] = ()
    container_statuses: tuple[SeenContainer, ...] = ()


class SeenPodResources(Seen):
    """What a container may use. The API server has a limit for each device."""

    limits: dict[str, str] = Field(default_factory=dict)


class SeenPodContainer(Seen):
    """A container as a pod declares it."""

    resources: SeenPodResources = SeenPodResources()


class SeenPodSpec(Seen):
    """Where a pod runs, and what it takes."""

    node_name: str | None = None
    containers: tuple[SeenPodContainer, ...] = ()


class SeenPod(Seen):
    """A pod."""

    metadata: SeenMeta
    spec: SeenPodSpec = SeenPodSpec()
    status: SeenPodStatus = SeenPodStatus()

    @property
    def container(self) -> SeenContainer | None:
        """The inference app's container, once the node knows of it."""
        return next(iter(self.status.container_statuses), None)

    @property
    def devices(self) -> dict[str, int]:
        """The devices that it takes for itself, by resource."""
        return _devices(limit for container in self.spec.containers for limit in container.resources.limits.items())

    @property
    def running(self) -> bool:
        """Whether its process runs and is to go on."""
        container = self.container
        return not self.metadata.ending and container is not None and container.state.running is not None

    @property
    def started(self) -> bool:
        """Whether its process passed its startup probe."""
        return self.container is not None and bool(self.container.started)

    @property
    def restarts(self) -> int:
        """How often its process was started again."""
        return 0 if self.container is None else self.container.restart_count


class SeenNodeStatus(Seen):
    """What a node gives to pods."""

    allocatable: dict[str, str] = Field(default_factory=dict)


class SeenNode(Seen):
    """A node."""

    metadata: SeenMeta
    status: SeenNodeStatus = SeenNodeStatus()

    @property
    def devices(self) -> dict[str, int]:
        """The devices that it has, by resource."""
        return _devices(self.status.allocatable.items())

    @property
    def price(self) -> str | None:
        """What one device of it costs an hour, as somebody wrote it."""
        return self.metadata.labels.get(PRICE_LABEL)


def _devices(amounts: Iterable[tuple[str, str]]) -> dict[str, int]:
    """What of some amounts are devices, which are counted: the sums by resource."""
    sums: dict[str, int] = {}
    for resource, count in amounts:
        if "/" in resource and count.isdecimal():
            sums[resource] = sums.get(resource, 0) + int(count)
    return sums
