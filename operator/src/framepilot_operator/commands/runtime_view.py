"""An InferenceRuntime as a command reads it: the same from a cluster and from a local session, and as tolerantly as a
service."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from framepilot_operator.commands.service_view import MetadataView
from framepilot_operator.manifests.seen import Seen


class StageView(Seen):
    """What was reported of a beginning that several modules have in common; `share` is a percent, as it is written."""

    modules: tuple[str, ...] = ()
    nodes: int = 0
    share: str = "0%"


class SharingView(Seen):
    """What was reported of what models share."""

    since: AwareDatetime
    parameters_unique_bytes: int | None = None
    parameters_referenced_bytes: int | None = None
    stages: tuple[StageView, ...] = ()


class RuntimeStatusView(Seen):
    """What was reported."""

    services: tuple[str, ...] = ()
    sharing: SharingView | None = None


class RuntimeView(Seen):
    """A runtime: which it is, and its status."""

    metadata: MetadataView
    status: RuntimeStatusView = Field(default_factory=RuntimeStatusView)

    @property
    def key(self) -> str:
        """`<namespace>/<name>`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def services(self) -> tuple[str, ...]:
        """The services that it is to run, by `<namespace>/<name>`."""
        return tuple(f"{self.metadata.namespace}/{name}" for name in self.status.services)
