"""The app's side of the contract: what is in the desired-state file, and whether it is in force.

A document that is older, contradicts one already accepted, or cannot be read changes nothing: what runs goes on, and
`/status` says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from framepilot.contract.desired import DesiredState, Verdict, judge
from framepilot.contract.document import DocumentError
from framepilot.contract.observed import FrameCounts
from framepilot_app import interpreter
from framepilot_app.modules.merger import Sharing
from framepilot_app.modules.module import Module
from framepilot_app.service import Machinery, Service

SETTLE_S = 0.05
"""How often it looks whether a graph, a stream or a module that was waited for is there."""

log = logging.getLogger(__name__)


class Controller:
    """Makes the services follow the desired state. Used on the event loop."""

    def __init__(self, machinery: Machinery, sharing: Sharing) -> None:
        self.desired: DesiredState | None = None
        self.error: str | None = None
        self.services: dict[str, Service] = {}
        self.past: list[FrameCounts] = []
        self.sharing = sharing
        self._machinery = machinery
        self._closing: dict[asyncio.Task[None], Service] = {}

    @property
    def draining(self) -> Iterable[Service]:
        """Services that were removed and still have frames in flight."""
        return tuple(self._closing.values())

    def found(self, content: bytes | OSError) -> None:
        """The file has new content, or cannot be read."""
        self.error = self._accept(content)
        if self.error:
            log.error("desired state not in force", extra={"error": self.error})

    def settle(self) -> None:
        """Called every `SETTLE_S`: what was waited for may be there."""
        for service in self.services.values():
            service.settle()
        self._tell_device()

    async def close(self) -> None:
        """Every service takes no more frames and delivers those in flight."""
        self._remove([*self.services])
        while self._closing:
            await asyncio.wait([*self._closing])
            self._tell_device()
        self.sharing.close()

    def _accept(self, content: bytes | OSError) -> str | None:
        if isinstance(content, OSError):
            return f"the desired state cannot be read: {content}"
        try:
            found = DesiredState.parse(content)
        except DocumentError as error:
            kept = f"generation {self.desired.generation} goes on" if self.desired else "nothing runs yet"
            return f"{error}; {kept}"
        match judge(self.desired, found):
            case Verdict.ACCEPT:
                self._follow(found)
                return None
            case Verdict.SAME:
                return None
            case Verdict.STALE:
                return f"ignored generation {found.generation}: {self._generation()} is in force, and it is newer"
            case Verdict.CONFLICT:
                return f"refused: generation {found.generation} is in force with other content; write a higher one"

    def _generation(self) -> int:
        return self.desired.generation if self.desired else 0

    def _follow(self, desired: DesiredState) -> None:
        if self.desired is None:
            # Nothing is in use yet: what an earlier process left and this document does not name goes.
            self._machinery.store.prune(_digests(desired))
        self.desired = desired
        wanted = {pipeline.service: pipeline for pipeline in desired.pipelines}
        self._remove(
            [
                name
                for name, service in self.services.items()
                if name not in wanted or wanted[name].uid != service.declared.uid
            ]
        )
        for name, pipeline in wanted.items():
            service = self.services.get(name)
            if service is None:
                self.services[name] = Service(pipeline, self._machinery)
            elif service.declared != pipeline:
                service.follow(pipeline)
        reserves = {pipeline.service: pipeline.reserve for pipeline in desired.pipelines}
        self._machinery.device.reserve(reserves)
        self._machinery.gate.reserve(reserves)
        self._machinery.device.limit({each.service: each.limit for each in desired.pipelines if each.limit < 1})
        self._tell_device()
        interpreter.follow(sum(len(pipeline.modules) for pipeline in desired.pipelines))
        log.info("desired state in force", extra={"generation": desired.generation, "uid": desired.instance_uid})

    def _remove(self, names: list[str]) -> None:
        for name in names:
            service = self.services.pop(name)
            closing = asyncio.create_task(service.close(), name=f"close {name}")
            self._closing[closing] = service
            closing.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        service = self._closing.pop(task)
        self.past.append(service.past.counts())
        if error := task.exception():
            log.error("a service did not close", extra={"service": service.name}, exc_info=error)

    def _tell_device(self) -> None:
        modules: tuple[Module, ...] = tuple(
            module for service in (*self.services.values(), *self.draining) for module in service.bound_modules()
        )
        self._machinery.device.set_modules(modules)
        self.sharing.follow(modules)


def _digests(desired: DesiredState) -> set[str]:
    """The model digests that a document names."""
    modules = [module for pipeline in desired.pipelines for module in pipeline.modules]
    refs = [ref for module in modules for ref in (module.model, module.fallback) if ref is not None]
    return {ref.sha256 for ref in refs if ref.sha256 is not None}
