"""An instance as it is found on the cluster: its objects and its pods put together, and what is to be said of them.

What objects belong to is the uid of their owner: those of a service that was deleted and declared again under the same
name are still ending, and nothing of the new one is written beside them. The same is true of a runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from framepilot.contract.desired import DesiredState
from framepilot.contract.document import DocumentError
from framepilot_operator.cluster.kube_api import JsonObject
from framepilot_operator.cluster.kube_polling import Heard, Target
from framepilot_operator.cluster.port import Instance
from framepilot_operator.manifests.instance import DESIRED_KEY, PORT
from framepilot_operator.manifests.names import FINGERPRINT, GENERATION, OWNER_UID, object_name
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.manifests.pod_reason import no_pod_yet, pod_reason
from framepilot_operator.manifests.seen import SeenConfigMap, SeenDeployment, SeenMeta, SeenPod, SeenService


@dataclass(frozen=True, slots=True)
class HeldConfigMap:
    """A ConfigMap; `desired` is None if what is in it cannot be used."""

    metadata: SeenMeta
    desired: DesiredState | None


def read_config_map(manifest: JsonObject) -> HeldConfigMap:
    """The ConfigMap of an instance from its JSON; one that somebody damaged is as good as none."""
    seen = SeenConfigMap.model_validate(manifest)
    try:
        return HeldConfigMap(seen.metadata, DesiredState.parse(seen.data.get(DESIRED_KEY, "")))
    except DocumentError:
        return HeldConfigMap(seen.metadata, None)


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of one owner's instance; any part may be missing. The pods are those of the owner by label."""

    owner: Owner
    config_map: HeldConfigMap | None = None
    deployment: SeenDeployment | None = None
    network: SeenService | None = None
    pods: tuple[SeenPod, ...] = ()

    @property
    def objects(self) -> tuple[SeenMeta, ...]:
        """The metadata of what was written for it, the pods apart."""
        return tuple(each.metadata for each in (self.deployment, self.network, self.config_map) if each is not None)

    def ending(self, uid: str) -> str | None:
        """What stands in the way of writing anything for the owner of this uid, and why."""
        for kind, metadata in self._all():
            owner = metadata.annotations.get(OWNER_UID) if kind == "pod" else metadata.owner_uid
            if owner != uid:
                return f"the {kind} {metadata.key} is of an earlier one of that name, and still ending"
            if metadata.ending and kind != "pod":
                return f"the {kind} {metadata.key} is still ending"
        return None

    def pod(self, uid: str) -> SeenPod | None:
        """The pod that runs for the owner of this uid, or is to: the newest that is not ending, else the newest."""
        own = [pod for pod in self.pods if pod.metadata.annotations.get(OWNER_UID) == uid]
        return max(own, key=lambda pod: (not pod.metadata.ending, pod.metadata.creation_timestamp), default=None)

    def target(self, uid: str) -> tuple[str, Target] | None:
        """The process to ask for its `/status`, and where; None while there is none."""
        pod = self.pod(uid)
        if pod is None or not pod.running or pod.status.pod_ip is None:
            return None
        address = pod.status.pod_ip
        host = f"[{address}]" if ":" in address else address
        return process_of(pod), Target(str(self.owner), uid, f"{host}:{PORT}", self.generation)

    @property
    def generation(self) -> int:
        """The generation of the desired state that was written last; 0 if there is none."""
        desired = None if self.config_map is None else self.config_map.desired
        return 0 if desired is None else desired.generation

    @property
    def config_map_version(self) -> str | None:
        """The resourceVersion of its ConfigMap."""
        return None if self.config_map is None else self.config_map.metadata.resource_version

    def known_generation(self, heard: Heard, uid: str) -> int:
        """The highest generation that anybody may have seen: the next one must be higher."""
        observed = heard.observed
        told = [_number(pod.metadata.annotations.get(GENERATION)) for pod in self.pods]
        seen = observed.generation if observed is not None and observed.instance_uid == uid else 0
        return max(self.generation, seen, *told, 0)

    def instance(self, uid: str, fingerprint: str, heard: Heard) -> Instance | None:
        """The instance of the owner of this uid as the loop sees it; None if there is nothing of it."""
        if not self.objects or self.ending(uid) is not None:
            return None
        pod = self.pod(uid)
        running = pod is not None and pod.running
        return Instance(
            owner=self.owner,
            uid=uid,
            desired=None if self.config_map is None else self.config_map.desired,
            observed=heard.observed if running else None,
            observed_at=heard.at if running else None,
            running=running,
            restarts=0 if pod is None else pod.restarts,
            reason=_why_silent(pod, heard) if pod is not None and running else self._why_not(pod),
            current=self.is_current(fingerprint),
            devices={} if pod is None else pod.devices,
            has_node=pod is not None and pod.spec.node_name is not None,
        )

    def is_current(self, fingerprint: str) -> bool:
        """Whether its Deployment and its Service are there and were written from the same."""
        if self.deployment is None or self.network is None:
            return False
        return self.deployment.metadata.annotations.get(FINGERPRINT) == fingerprint

    def leftover(self) -> Instance | None:
        """What is left of an instance whose owner nobody declares any more; None if that is ending already."""
        left = [metadata for metadata in self.objects if not metadata.ending]
        return Instance(owner=self.owner, uid=left[0].owner_uid or "") if left else None

    def _all(self) -> Iterable[tuple[str, SeenMeta]]:
        for kind, each in (("Deployment", self.deployment), ("Service", self.network), ("ConfigMap", self.config_map)):
            if each is not None:
                yield kind, each.metadata
        for pod in self.pods:
            yield "pod", pod.metadata

    def _why_not(self, pod: SeenPod | None) -> str:
        if pod is not None:
            return pod_reason(pod, self.owner) or "it is starting"
        if self.deployment is not None and self.deployment.failure is not None:
            return f"its pod cannot be created: {self.deployment.failure}"
        return no_pod_yet(self.owner)


def process_of(pod: SeenPod) -> str:
    """A name for the process in a pod: another one after every restart."""
    return f"{pod.metadata.uid}/{pod.restarts}"


def found(
    owner: Owner,
    config_maps: Mapping[str, HeldConfigMap],
    deployments: Mapping[str, SeenDeployment],
    networks: Mapping[str, SeenService],
    pods: Iterable[SeenPod],
) -> Found:
    """What there is of the instance of an owner, among objects by `namespace/name`, and the pods of the owner."""
    key = key_of(owner)
    return Found(owner, config_maps.get(key), deployments.get(key), networks.get(key), tuple(pods))


def key_of(owner: Owner) -> str:
    """`namespace/name` of the objects of an owner's instance."""
    return f"{owner.namespace}/{object_name(owner)}"


def _why_silent(pod: SeenPod, heard: Heard) -> str | None:
    """Why a process says nothing now; None if it does."""
    if heard.observed is None and (heard.silence is None or not pod.started):
        return "it is starting"
    return heard.silence


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0
