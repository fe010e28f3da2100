"""Objects as the API server has them: of each kind the fields that are read here, and nothing else is kept.

What is not listed is let through unread, so an object of a newer server is read as well as one of an older.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from framepilot_operator.manifests.names import SERVICE_LABEL


class Seen(BaseModel):
    """A part of an object that was read."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class SeenOwner(Seen):
    """An owner reference."""

    uid: str
    controller: bool = False


class SeenMeta(Seen):
    """Metadata, without who wrote what."""

    name: str
    namespace: str = "default"
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
    def service(self) -> str | None:
        """The service that it belongs to by its label, `namespace/name`."""
        name = self.labels.get(SERVICE_LABEL)
        return None if name is None else f"{self.namespace}/{name}"

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


class SeenPod(Seen):
    """A pod."""

    metadata: SeenMeta
    status: SeenPodStatus = SeenPodStatus()

    @property
    def container(self) -> SeenContainer | None:
        """The inference app's container, once the node knows of it."""
        return next(iter(self.status.container_statuses), None)

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
