"""The whole world, as the loop sees it: one snapshot in, changes and statuses out, triggers in between.

Every kind of cluster implements this one protocol; everything that decides works on the frozen types below and on
nothing else. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from framepilot.contract.desired import DesiredState
from framepilot.contract.observed import ObservedState
from framepilot.resources.profile import ModelProfile
from framepilot.resources.runtime import InferenceRuntime, InferenceRuntimeStatus
from framepilot.resources.service import InferenceService, InferenceServiceStatus
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.telemetry.device_view import DeviceView


class ClusterError(Exception):
    """The cluster could not be read or written: what happened, where, what to do. Trying again later may help."""


@dataclass(frozen=True, slots=True)
class DeclaredService:
    """A service as it is declared now.

    `uid` stays over edits and is new when the service was deleted and declared again; `generation` counts the edits
    of its spec, from 1; `changed_at` is when the latest of them was made. The resource's `status` is what was reported
    last. `devices` are those that an instance of its own would take for itself alone, by resource.
    """

    resource: InferenceService
    uid: str
    generation: int
    changed_at: float
    devices: Mapping[str, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`<namespace>/<name>`, as results and `/status` name it."""
        return self.resource.key


@dataclass(frozen=True, slots=True)
class DeclaredRuntime:
    """A runtime as it is declared now. `implicit`: the operator declared it, for the services of these uids."""

    resource: InferenceRuntime
    uid: str
    generation: int
    implicit: bool = False
    services: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """`<namespace>/<name>`."""
        return self.resource.key


@dataclass(frozen=True, slots=True)
class Instance:
    """One inference-app process and its desired state; `uid` is its owner's.

    `observed` is the latest `/status`, taken at `observed_at`; None until the process first answers, and again after it
    ended. `reason` says why it does not run, or does not answer. `current` is False where what it runs in is not what
    its declaration asks for; giving it a desired state, the same or another, mends that. `devices` are those that it
    takes for itself alone, by resource, and `has_node` whether it got them. `price_per_hour` is what its device costs;
    None where that is not known.
    """

    owner: Owner
    uid: str
    desired: DesiredState | None = None
    observed: ObservedState | None = None
    observed_at: float | None = None
    running: bool = False
    restarts: int = 0
    reason: str | None = None
    current: bool = True
    devices: Mapping[str, int] = field(default_factory=dict)
    has_node: bool = True
    price_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something declared that cannot be used: where it stands, and one sentence that says what to do about it.

    `service` is its `<namespace>/<name>` where that much could be read. What it declared before goes on running.
    """

    where: str
    message: str
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is declared and what is, at one moment.

    `devices`: how many there are that go to one instance only, by resource; None where that cannot be known.
    `device_views`: what is known of the device that an instance runs on. `device_sources`: by source of these views why
    it says nothing now; None if it does.
    """

    services: tuple[DeclaredService, ...] = ()
    runtimes: tuple[DeclaredRuntime, ...] = ()
    instances: tuple[Instance, ...] = ()
    profiles: tuple[ModelProfile, ...] = ()
    problems: tuple[Problem, ...] = ()
    devices: Mapping[str, int] | None = None
    device_views: Mapping[Owner, DeviceView] = field(default_factory=dict)
    device_sources: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WriteDesired:
    """Give the instance of this owner this desired state; an instance that does not exist is created.

    The cluster assigns the generation (the stored one + 1): the document's own is not looked at.
    """

    owner: Owner
    document: DesiredState


@dataclass(frozen=True, slots=True)
class RemoveInstance:
    """End the instance of this owner gracefully and forget it."""

    owner: Owner


@dataclass(frozen=True, slots=True)
class WriteProfile:
    """Keep a measured profile, in place of an older one of the same name."""

    profile: ModelProfile


@dataclass(frozen=True, slots=True)
class WriteRuntime:
    """Declare an implicit runtime, in place of an older one of the name. It goes with the last of its services.

    `services` are names and uids in the runtime's namespace.
    """

    runtime: InferenceRuntime
    services: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RemoveRuntime:
    """Take back an implicit runtime."""

    key: str
    uid: str


Change = WriteDesired | RemoveInstance | WriteProfile | WriteRuntime | RemoveRuntime


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What is to be reported of one service."""

    service: str
    status: InferenceServiceStatus


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """What is to be reported of one runtime."""

    runtime: str
    status: InferenceRuntimeStatus


Status = ServiceStatus | RuntimeStatus


class TriggerKind(StrEnum):
    """Why to look again."""

    DECLARATIONS = "declarations"
    INSTANCE = "instance"
    TICK = "tick"


@dataclass(frozen=True, slots=True)
class Trigger:
    """Something changed, or may have: look again. `subjects` is for logs only."""

    kind: TriggerKind
    subjects: tuple[str, ...] = ()


class Cluster(Protocol):
    """Where services are declared and instances run."""

    async def observe(self) -> Snapshot:
        """Everything declared, every instance with its `/status`.

        Raises:
            ClusterError: it cannot be known now.
        """

    async def apply(self, change: Change) -> None:
        """Make one change.

        Raises:
            ClusterError: it was not made, or only in part; observing again shows which.
        """

    async def report(self, status: Status) -> None:
        """Publish the status of one service or runtime; nothing is written when it is what was published last.

        Raises:
            ClusterError: it was not published.
        """

    def triggers(self) -> AsyncIterator[Trigger]:
        """What happens, as it happens, and a regular tick. Ends when the cluster is closed."""
