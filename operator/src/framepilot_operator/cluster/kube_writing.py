"""Makes the changes that the loop wants: writes and deletes the objects of instances, profiles and implicit runtimes.

Each write says what it takes the object for, so that of two operators that write at once one fails and looks again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from framepilot.contract.desired import DesiredState
from framepilot.resources.meta import API_VERSION
from framepilot.resources.profile import ModelProfile, labelled_as_measured
from framepilot.resources.template import InstanceTemplate
from framepilot_operator.cluster.kube_api import (
    CONFIG_MAPS,
    INFERENCE_RUNTIMES,
    MODEL_PROFILES,
    ApiError,
    JsonObject,
    KubeApi,
)
from framepilot_operator.cluster.kube_declared import HeldOwner
from framepilot_operator.cluster.kube_instance import Found
from framepilot_operator.cluster.kube_mirror import Mirror, T
from framepilot_operator.cluster.kube_nudging import Nudging
from framepilot_operator.cluster.kube_polling import Heard
from framepilot_operator.cluster.kube_world import World
from framepilot_operator.cluster.port import (
    Change,
    ClusterError,
    RemoveInstance,
    RemoveRuntime,
    WriteDesired,
    WriteProfile,
    WriteRuntime,
)
from framepilot_operator.manifests.instance import (
    LARGEST_DESIRED_BYTES,
    AppImage,
    Workload,
    config_map,
    credentials_secrets,
    desired_bytes,
    workload,
)
from framepilot_operator.manifests.names import MANAGED_BY, MANAGED_BY_LABEL
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.manifests.runtime import implicit_runtime


class Writing:
    """Writes to the API server, and keeps what it answers."""

    def __init__(
        self, api: KubeApi, world: World, nudging: Nudging, image: AppImage, heard: Callable[[Found, str], Heard]
    ) -> None:
        """`heard` says what the instance of an owner, of this uid, said last."""
        self._api = api
        self._world = world
        self._nudging = nudging
        self._image = image
        self._heard = heard
        self._workloads: dict[Owner, tuple[tuple[str, int, tuple[str, ...]], Workload]] = {}

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
                    self._world.doubt(change.owner)
                    raise
            case RemoveInstance():
                await self._remove(self._world.found_of(change.owner), None)
            case WriteProfile():
                await self._write_profile(change.profile)
            case WriteRuntime():
                await self._write_runtime(change)
            case RemoveRuntime():
                namespace, _, name = change.key.partition("/")
                await self._api.delete(INFERENCE_RUNTIMES, namespace, name, change.uid)
                self._world.runtimes.changed(change.key, None)

    def workload(self, held: HeldOwner, template: InstanceTemplate, document: DesiredState | None) -> Workload:
        """What the instance of an owner, told this, is to run in; made anew only for another declaration."""
        uid, secrets = held.metadata.uid, credentials_secrets(document)
        made_from = (uid, held.metadata.generation, secrets)
        known = self._workloads.get(held.owner)
        if known is not None and known[0] == made_from:
            return known[1]
        made = workload(held.owner, uid, template, self._image, secrets)
        self._workloads[held.owner] = (made_from, made)
        return made

    async def _write_desired(self, change: WriteDesired) -> None:
        owner, uid = change.owner, change.document.instance_uid
        held = self._world.owners().get(owner)
        if held is None or held.template is None or held.metadata.uid != uid:
            raise ClusterError(f"{owner}: it is not what it was a moment ago; it is looked at again")
        found = self._world.found_of(owner)
        if (reason := found.ending(uid)) is not None:
            await self._remove(found, uid)
            raise ClusterError(f"{owner}: {reason}; the new one starts after that")
        generation = await self._write_config_map(found, change.document)
        await self._write_workload(self.workload(held, held.template, change.document), found)
        if generation is not None:
            await self._nudging.tell(found, uid, generation)

    async def _write_config_map(self, found: Found, document: DesiredState) -> int | None:
        """Store a desired state as the next generation; which one that is, None if it is stored already."""
        uid = document.instance_uid
        before = None if found.config_map is None else found.config_map.desired
        if before is not None and before == document.model_copy(update={"generation": before.generation}):
            return None
        generation = found.known_generation(self._heard(found, uid), uid) + 1
        following = document.model_copy(update={"generation": generation})
        if (size := desired_bytes(following)) > LARGEST_DESIRED_BYTES:
            raise ClusterError(
                f"{found.owner}: its desired state has {size} bytes and a ConfigMap holds {LARGEST_DESIRED_BYTES}; "
                "declare fewer streams, modules or sinks, or place services in several instances"
            )
        manifest = config_map(found.owner, uid, following, found.config_map_version)
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
        """Delete what does not belong to the owner of this uid; None: everything. Pods go with their Deployment."""
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

    async def _write_runtime(self, change: WriteRuntime) -> None:
        mirror, metadata = self._world.runtimes, change.runtime.metadata
        manifest = implicit_runtime(change.runtime, change.services)
        await self._apply(mirror, manifest, there=change.runtime.key in mirror.objects)
        declared = mirror.objects[change.runtime.key].declared
        if declared is None or declared.resource.spec != change.runtime.spec:
            # Somebody wrote more into it.
            whole = await self._api.replace(mirror.kind, metadata.namespace, metadata.name, "spec", manifest["spec"])
            mirror.put(whole)

    async def _write_profile(self, profile: ModelProfile) -> None:
        there = self._world.profiles.objects.get(profile.key)
        if there is not None and not labelled_as_measured(there.metadata.labels):
            raise ClusterError(
                f"modelprofiles.framepilot.dev {profile.key} is somebody else's, so what was measured is not recorded; "
                "rename it"
            )
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
        raise ClusterError(f"{error}; if it is somebody else's, rename it, or the service") from error
