"""A Kubernetes cluster as the loop sees it: declarations are custom resources, an instance is a Deployment of one pod.

Nothing here decides, and nothing that is remembered matters: everything is read from the API server and from `/status`
of the pods, so an operator that starts anew goes on where the last one was. Somebody else watches the API server and
says what `changed`; only that is read again. A look at a cluster where nothing happens sends no request at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from framepilot.contract.desired import DesiredState
from framepilot.resources.meta import API_VERSION
from framepilot.resources.profile import ModelProfile
from framepilot.resources.service import InferenceService
from framepilot_operator.cluster.kube_api import (
    CONFIG_MAPS,
    MODEL_PROFILES,
    ApiError,
    JsonObject,
    KubeApi,
)
from framepilot_operator.cluster.kube_declared import HeldService
from framepilot_operator.cluster.kube_instance import Found, process_of
from framepilot_operator.cluster.kube_mirror import Mirror, T
from framepilot_operator.cluster.kube_nudging import Nudging
from framepilot_operator.cluster.kube_polling import Heard, Pace, StatusPolling
from framepilot_operator.cluster.kube_reporting import Reporting
from framepilot_operator.cluster.kube_world import World
from framepilot_operator.cluster.port import (
    Change,
    ClusterError,
    Instance,
    RemoveInstance,
    ServiceStatus,
    Snapshot,
    Trigger,
    TriggerKind,
    WriteDesired,
    WriteProfile,
)
from framepilot_operator.manifests.instance import (
    LARGEST_DESIRED_BYTES,
    AppImage,
    Workload,
    config_map,
    desired_bytes,
    workload,
)
from framepilot_operator.manifests.names import MANAGED_BY, MANAGED_BY_LABEL
from framepilot_operator.telemetry.status_client import StatusClient


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """How instances are run on a cluster, and how often it is looked at.

    `namespaces`: those that are looked at; none: all. `image_pull_secrets` are names in the namespace of each service.
    `reporter` is the operator's own name in Events. `/status` is asked for every `poll_s`, every `eager_poll_s` while
    something is under way; a pod that has not got its desired state is nudged again after `nudge_again_s`.
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


class KubernetesCluster:
    """The port on a Kubernetes cluster. Create and use it inside one event loop, and close it."""

    def __init__(self, api: KubeApi, settings: KubernetesSettings, now: Callable[[], float] = time.time) -> None:
        """`now` is the time, Unix seconds."""
        self._api = api
        self._tick_s = settings.tick_s
        self._image = AppImage(settings.app_image, settings.image_pull_policy, settings.image_pull_secrets)
        self._now = now
        self._world = World(api, settings.namespaces)
        self._client = StatusClient(settings.status_timeout_s)
        pace = Pace(settings.poll_s, settings.eager_poll_s)
        self._polling = StatusPolling(self._client, pace, self._heard_something, now)
        self._nudging = Nudging(api, self._world.pods, settings.nudge_again_s, now)
        self._reporting = Reporting(api, self._world.services, settings.reporter, now)
        self._triggers: asyncio.Queue[Trigger | None] = asyncio.Queue()
        self._workloads: dict[str, tuple[str, int, Workload]] = {}

    def changed(self, kind: str, subject: str, resource_version: str | None = None) -> None:
        """Whoever watches the API server saw a change.

        Args:
            kind: the plural of a kind, such as `pods`; others than those looked at here are of no interest.
            subject: `<namespace>/<name>`.
            resource_version: the object's, so that what this operator wrote itself is not read again; None if unknown
                or if the object is gone.
        """
        if self._world.changed(kind, subject, resource_version):
            what = TriggerKind.DECLARATIONS if kind == self._world.services.kind.plural else TriggerKind.INSTANCE
            self._triggers.put_nowait(Trigger(what, (f"{kind} {subject}",)))

    async def observe(self) -> Snapshot:
        """Everything declared, every instance with what it said last.

        Raises:
            ApiError: the API server does not say.
        """
        await self._world.refresh(self._now())
        declared, found = self._world.declared(), self._world.found()
        self._follow(declared, found)
        for key, held in declared.items():
            if held.problem is not None:
                await self._reporting.write_problem(held, held.problem)
            elif key in found:
                await self._nudging.tell_again(
                    found[key], held.metadata.uid, self._heard(found[key], held.metadata.uid)
                )
        return Snapshot(
            services=tuple(held.declared for held in declared.values() if held.declared is not None),
            instances=tuple(self._instances(declared, found)),
            profiles=self._world.measured(),
            problems=self._world.problems(),
        )

    async def apply(self, change: Change) -> None:
        """Make one change.

        Raises:
            ClusterError: it was not made, or only in part.
        """
        match change:
            case WriteDesired():
                try:
                    await self._write_desired(change)
                except ClusterError:
                    self._world.doubt(change.service)
                    raise
            case RemoveInstance():
                await self._remove(self._world.found_of(change.instance), None)
            case WriteProfile():
                await self._write_profile(change.profile)

    async def report(self, status: ServiceStatus) -> None:
        """Write the status of a service, and an Event for each condition that a person should hear of.

        Raises:
            ApiError: the status was not written.
        """
        await self._reporting.write(status.service, status.status)

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

    def _heard_something(self, service: str) -> None:
        self._triggers.put_nowait(Trigger(TriggerKind.INSTANCE, (f"/status {service}",)))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            self._triggers.put_nowait(Trigger(TriggerKind.TICK))

    def _heard(self, found: Found, uid: str) -> Heard:
        pod = found.pod(uid)
        return Heard() if pod is None else self._polling.heard(process_of(pod))

    def _follow(self, declared: Mapping[str, HeldService], found: Mapping[str, Found]) -> None:
        """Ask the processes that are there now for their `/status`."""
        targets = [found[key].target(held.metadata.uid) for key, held in declared.items() if key in found]
        processes = dict(target for target in targets if target is not None)
        self._polling.follow(processes)
        self._nudging.forget_others(processes)

    def _instances(self, declared: Mapping[str, HeldService], found: Mapping[str, Found]) -> Iterator[Instance]:
        for key, each in found.items():
            held = declared.get(key)
            instance = each.leftover() if held is None else self._instance(held, each)
            if instance is not None:
                yield instance

    def _instance(self, held: HeldService, found: Found) -> Instance | None:
        if held.declared is None:
            # What was declared before, when that could be used, goes on untouched.
            return None
        uid = held.metadata.uid
        fingerprint = self._workload(held.declared.resource, uid).fingerprint
        return found.instance(uid, fingerprint, self._heard(found, uid))

    def _workload(self, resource: InferenceService, uid: str) -> Workload:
        """What the instance of a service is to run in; made anew only for another declaration."""
        generation = resource.metadata.generation or 0
        known = self._workloads.get(resource.key)
        if known is not None and known[:2] == (uid, generation):
            return known[2]
        made = workload(resource, uid, self._image)
        self._workloads[resource.key] = (uid, generation, made)
        return made

    async def _write_desired(self, change: WriteDesired) -> None:
        held = self._world.declared().get(change.service)
        uid = change.document.instance_uid
        if held is None or held.declared is None or held.metadata.uid != uid:
            raise ClusterError(f"{change.service}: it is not what it was a moment ago; it is looked at again")
        resource, found = held.declared.resource, self._world.found_of(change.service)
        if (reason := found.ending(uid)) is not None:
            await self._remove(found, uid)
            raise ClusterError(f"{change.service}: {reason}; the new one starts after that")
        generation = await self._write_config_map(resource, found, change.document)
        await self._write_workload(self._workload(resource, uid), found)
        if generation is not None:
            await self._nudging.tell(found, uid, generation)

    async def _write_config_map(self, resource: InferenceService, found: Found, document: DesiredState) -> int | None:
        """Store a desired state as the next generation; which one that is, None if it is stored already."""
        uid = document.instance_uid
        before = None if found.config_map is None else found.config_map.desired
        if before is not None and before == document.model_copy(update={"generation": before.generation}):
            return None
        generation = found.known_generation(self._heard(found, uid), uid) + 1
        following = document.model_copy(update={"generation": generation})
        if (size := desired_bytes(following)) > LARGEST_DESIRED_BYTES:
            raise ClusterError(
                f"{resource.key}: its desired state has {size} bytes and a ConfigMap holds {LARGEST_DESIRED_BYTES}; "
                "declare fewer streams, modules or sinks, or split the service"
            )
        manifest = config_map(resource, uid, following, found.config_map_version)
        if found.config_map is None:
            # Not applied: of two operators that both see none, one must fail.
            written = await _unless_taken(self._api.create(CONFIG_MAPS, manifest))
        else:
            written = await self._api.apply(CONFIG_MAPS, manifest)
        self._world.config_maps.put(written)
        return generation

    async def _write_workload(self, wanted: Workload, found: Found) -> None:
        if not found.is_current(wanted.fingerprint):
            await self._apply(self._world.networks, wanted.service, there=found.network is not None)
            # Last, as its fingerprint says that both are written.
            await self._apply(self._world.deployments, wanted.deployment, there=found.deployment is not None)

    async def _apply(self, mirror: Mirror[T], manifest: JsonObject, *, there: bool) -> None:
        """Write an object over the one that is `there`; what is there without being known is somebody else's."""
        written = self._api.apply(mirror.kind, manifest, force=there)
        mirror.put(await (written if there else _unless_taken(written)))

    async def _remove(self, found: Found, uid: str | None) -> None:
        """Delete what does not belong to the service of this uid; None: everything. Pods go with their Deployment."""
        for mirror, each in (
            (self._world.deployments, found.deployment),
            (self._world.networks, found.network),
            (self._world.config_maps, found.config_map),
        ):
            if each is None or each.metadata.ending:
                continue
            metadata = each.metadata
            # Nobody's own uid is None, too.
            if uid is not None and metadata.owner_uid == uid:
                continue
            await self._api.delete(mirror.kind, metadata.namespace, metadata.name, metadata.uid)
            mirror.changed(metadata.key, None)

    async def _write_profile(self, profile: ModelProfile) -> None:
        manifest: JsonObject = {
            "apiVersion": API_VERSION,
            "kind": profile.kind,
            "metadata": {
                "name": profile.metadata.name,
                "namespace": profile.metadata.namespace,
                "labels": {**profile.metadata.labels, MANAGED_BY_LABEL: MANAGED_BY},
            },
            "spec": profile.spec.model_dump(mode="json", exclude_none=True),
        }
        self._world.profiles.put(await self._api.apply(MODEL_PROFILES, manifest))


async def _unless_taken(request: Awaitable[JsonObject]) -> JsonObject:
    """The answer to a request that writes a new object.

    Raises:
        ClusterError: there is one of that name, or it was not written.
    """
    try:
        return await request
    except ApiError as error:
        if not error.conflict:
            raise
        raise ClusterError(f"{error}; if it is not this service's, rename it, or the service") from error
