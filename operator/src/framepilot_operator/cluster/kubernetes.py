"""A Kubernetes cluster as the loop sees it: declarations are custom resources, an instance is a Deployment of one pod.

Nothing here decides, and nothing that is remembered matters: everything is read from the API server and from `/status`
of the pods, so an operator that starts anew goes on where the last one was. Somebody else watches the API server and
says what `changed`; only that is read again. A look at a cluster where nothing happens sends no request at all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from framepilot_operator.cluster.kube_api import KubeApi
from framepilot_operator.cluster.kube_declared import HeldOwner
from framepilot_operator.cluster.kube_instance import Found, process_of
from framepilot_operator.cluster.kube_nudging import Nudging
from framepilot_operator.cluster.kube_polling import Heard, Pace, StatusPolling
from framepilot_operator.cluster.kube_reporting import Reporting
from framepilot_operator.cluster.kube_world import World
from framepilot_operator.cluster.kube_writing import Writing
from framepilot_operator.cluster.port import (
    Change,
    Instance,
    Problem,
    RuntimeStatus,
    ServiceStatus,
    Snapshot,
    Status,
    Trigger,
    TriggerKind,
)
from framepilot_operator.cluster.prices import priced
from framepilot_operator.manifests.instance import AppImage
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.telemetry.status_client import StatusClient

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """How instances are run on a cluster, and how often it is looked at.

    `namespaces`: those that are looked at; none: all. `image_pull_secrets` are names in the namespace of each instance.
    `reporter` is the operator's own name in Events. `/status` is asked for every `poll_s`, every `eager_poll_s` while
    something is under way; a pod that has not got its desired state is nudged again after `nudge_again_s`. `prices` are
    those of devices by class, where their node says none.
    """

    app_image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    reporter: str = "framepilot-operator"
    tick_s: float = 2.0
    poll_s: float = 2.0
    eager_poll_s: float = 0.25
    status_timeout_s: float = 2.0
    nudge_again_s: float = 2.0
    prices: Mapping[str, float] = field(default_factory=dict)


class KubernetesCluster:
    """The port on a Kubernetes cluster. Create and use it inside one event loop, and close it."""

    def __init__(self, api: KubeApi, settings: KubernetesSettings, now: Callable[[], float] = time.time) -> None:
        """`now` is the time, Unix seconds."""
        self._tick_s = settings.tick_s
        self._prices = settings.prices
        self._said: frozenset[Problem] = frozenset()
        self._now = now
        self._world = World(api, settings.namespaces)
        self._client = StatusClient(settings.status_timeout_s)
        pace = Pace(settings.poll_s, settings.eager_poll_s)
        self._polling = StatusPolling(self._client, pace, self._heard_something, now)
        self._nudging = Nudging(api, self._world.pods, settings.nudge_again_s, now)
        self._reporting = Reporting(api, self._world.services, self._world.runtimes, settings.reporter, now)
        image = AppImage(settings.app_image, settings.image_pull_policy, settings.image_pull_secrets)
        self._writing = Writing(api, self._world, self._nudging, image, self._heard)
        self._triggers: asyncio.Queue[Trigger | None] = asyncio.Queue()

    def changed(self, kind: str, subject: str, resource_version: str | None = None) -> None:
        """Whoever watches the API server saw a change.

        Args:
            kind: the plural of a kind, such as `pods`; others than those looked at here are of no interest.
            subject: `<namespace>/<name>`; `/<name>` of what is of the whole cluster.
            resource_version: the object's, so that what this operator wrote itself is not read again; None if unknown
                or if the object is gone.
        """
        if self._world.changed(kind, subject, resource_version):
            declarations = {self._world.services.kind.plural, self._world.runtimes.kind.plural}
            what = TriggerKind.DECLARATIONS if kind in declarations else TriggerKind.INSTANCE
            self._triggers.put_nowait(Trigger(what, (f"{kind} {subject}",)))

    async def observe(self) -> Snapshot:
        """Everything declared, every instance with what it said last.

        Raises:
            ApiError: the API server does not say.
        """
        await self._world.refresh(self._now())
        owners, found = self._world.owners(), self._world.found()
        self._follow(owners, found)
        await self._reporting.write_problems()
        self._say(self._world.without_status())
        for owner, held in owners.items():
            if held.problem is None and owner in found:
                uid = held.metadata.uid
                await self._nudging.tell_again(found[owner], uid, self._heard(found[owner], uid))
        return Snapshot(
            services=tuple(held.declared for held in self._world.declared() if held.declared is not None),
            runtimes=tuple(held.declared for held in self._world.declared_runtimes() if held.declared is not None),
            instances=tuple(self._instances(owners, found)),
            profiles=self._world.measured(),
            problems=self._world.problems(),
            devices=self._world.devices(),
        )

    async def apply(self, change: Change) -> None:
        """Make one change.

        Raises:
            ClusterError: it was not made, or only in part.
        """
        await self._writing.apply(change)

    async def report(self, status: Status) -> None:
        """Write the status of a service or a runtime, and an Event for what a person should hear of.

        Raises:
            ApiError: the status was not written.
        """
        match status:
            case ServiceStatus():
                await self._reporting.write_service(status.service, status.status)
            case RuntimeStatus():
                await self._reporting.write_runtime(status.runtime, status.status)

    async def triggers(self) -> AsyncIterator[Trigger]:
        """What happens, as it happens, and a regular tick; for one consumer."""
        ticking = asyncio.create_task(self._tick())
        try:
            while (trigger := await self._triggers.get()) is not None:
                yield trigger
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    async def close(self) -> None:
        """Look no more. Instances go on."""
        self._triggers.put_nowait(None)
        await self._polling.close()
        await self._client.close()

    def _heard_something(self, owner: str) -> None:
        self._triggers.put_nowait(Trigger(TriggerKind.INSTANCE, (f"/status {owner}",)))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            self._triggers.put_nowait(Trigger(TriggerKind.TICK))

    def _heard(self, found: Found, uid: str) -> Heard:
        pod = found.pod(uid)
        return Heard() if pod is None else self._polling.heard(process_of(pod))

    def _follow(self, owners: Mapping[Owner, HeldOwner], found: Mapping[Owner, Found]) -> None:
        """Ask the processes that are there now for their `/status`."""
        targets = [found[owner].target(held.metadata.uid) for owner, held in owners.items() if owner in found]
        processes = dict(target for target in targets if target is not None)
        self._polling.follow(processes)
        self._nudging.forget_others(processes)

    def _instances(self, owners: Mapping[Owner, HeldOwner], found: Mapping[Owner, Found]) -> Iterator[Instance]:
        for owner, each in found.items():
            held = owners.get(owner)
            instance = each.leftover() if held is None else self._instance(held, each)
            if instance is not None:
                yield instance

    def _instance(self, held: HeldOwner, found: Found) -> Instance | None:
        if held.template is None:
            # What was declared before, when that could be used, goes on untouched.
            return None
        uid = held.metadata.uid
        document = None if found.config_map is None else found.config_map.desired
        wanted = self._writing.workload(held, held.template, document)
        instance = found.instance(uid, wanted.fingerprint, self._heard(found, uid))
        return None if instance is None else priced(instance, self._prices, self._world.node_of(found.pod(uid)))

    def _say(self, problems: Iterable[Problem]) -> None:
        """Each once, as long as it is there."""
        found = frozenset(problems)
        for problem in sorted(found - self._said, key=lambda each: each.where):
            _log.warning("%s: %s", problem.where, problem.message)
        self._said = found
