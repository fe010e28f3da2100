"""The whole world, as the loop sees it: one snapshot in, changes and statuses out, triggers in between.

Every kind of cluster implements this one protocol; everything that decides works on the frozen types below and on
nothing else. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from framepilot.contract.desired import DesiredState
from framepilot.contract.observed import ObservedState
from framepilot.resources.profile import ModelProfile
from framepilot.resources.service import InferenceService, InferenceServiceStatus


class ClusterError(Exception):
    """The cluster could not be read or written: what happened, where, what to do. Trying again later may help."""


@dataclass(frozen=True, slots=True)
class DeclaredService:
    """A service as it is declared now.

    `uid` stays over edits and is new when the service was deleted and declared again; `generation` counts the edits
    of its spec, from 1; `changed_at` is when the latest of them was made. The resource's `status` is what was reported
    last.
    """

    resource: InferenceService
    uid: str
    generation: int
    changed_at: float

    @property
    def key(self) -> str:
        """`<namespace>/<name>`, as results and `/status` name it."""
        return self.resource.key


@dataclass(frozen=True, slots=True)
class Instance:
    """One inference-app process and its desired state.

    `name` is `<namespace>/<name>`; `service` (`<namespace>/<name>`) and `uid` are those of the service that owns it.
    `observed` is the latest `/status`, taken at `observed_at`; None until the process first answers, and again after it
    ended. `reason` says why it does not run, or does not answer. `current` is False where what it runs in is not what
    its declaration asks for; giving it a desired state, the same or another, mends that.
    """

    name: str
    uid: str
    service: str
    desired: DesiredState | None = None
    observed: ObservedState | None = None
    observed_at: float | None = None
    running: bool = False
    restarts: int = 0
    reason: str | None = None
    current: bool = True


@dataclass(frozen=True, slots=True)
class Problem:
    """A declaration that cannot be used: where it stands, and one sentence that says what to do about it.

    `service` is its `<namespace>/<name>` where that much could be read. What it declared before goes on running.
    """

    where: str
    message: str
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is declared and what is, at one moment."""

    services: tuple[DeclaredService, ...] = ()
    instances: tuple[Instance, ...] = ()
    profiles: tuple[ModelProfile, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteDesired:
    """Give an instance this desired state; an instance that does not exist is created.

    The cluster assigns the generation (the stored one + 1): the document's own is not looked at.
    """

    instance: str
    service: str
    document: DesiredState


@dataclass(frozen=True, slots=True)
class RemoveInstance:
    """End an instance gracefully and forget it."""

    instance: str


@dataclass(frozen=True, slots=True)
class WriteProfile:
    """Keep a measured profile, in place of an older one of the same name."""

    profile: ModelProfile


Change = WriteDesired | RemoveInstance | WriteProfile


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What is to be reported of one service."""

    service: str
    status: InferenceServiceStatus


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

    async def report(self, status: ServiceStatus) -> None:
        """Publish the status of one service; nothing is written when it is what was published last.

        Raises:
            ClusterError: it was not published.
        """

    def triggers(self) -> AsyncIterator[Trigger]:
        """What happens, as it happens, and a regular tick. Ends when the cluster is closed."""
