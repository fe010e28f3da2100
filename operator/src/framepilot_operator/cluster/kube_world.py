"""All that is known of the cluster: a mirror of each kind that is looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from framepilot.resources.profile import ModelProfile
from framepilot_operator.cluster.kube_api import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    INFERENCE_RUNTIMES,
    INFERENCE_SERVICES,
    MODEL_PROFILES,
    NODES,
    PODS,
    SERVICES,
    KubeApi,
)
from framepilot_operator.cluster.kube_declared import (
    HeldOwner,
    HeldRuntime,
    HeldService,
    read_profile,
    read_runtime,
    read_service,
)
from framepilot_operator.cluster.kube_instance import Found, found, key_of, read_config_map
from framepilot_operator.cluster.kube_mirror import Mirror, together
from framepilot_operator.cluster.port import Problem
from framepilot_operator.cluster.prices import price_problems
from framepilot_operator.manifests.names import SELECTOR
from framepilot_operator.manifests.owner import Owner, OwnerKind
from framepilot_operator.manifests.seen import SeenDeployment, SeenNode, SeenPod, SeenService


class World:
    """Declarations, profiles, the objects of instances, and nodes. Used in one event loop."""

    def __init__(self, api: KubeApi, namespaces: Sequence[str]) -> None:
        """`namespaces`: those that are looked at; none: all, and the nodes besides, which are in no namespace."""
        self.services = Mirror(api, INFERENCE_SERVICES, namespaces, None, read_service)
        self.runtimes = Mirror(api, INFERENCE_RUNTIMES, namespaces, None, read_runtime)
        self.profiles = Mirror(api, MODEL_PROFILES, namespaces, None, read_profile)
        self.config_maps = Mirror(api, CONFIG_MAPS, namespaces, SELECTOR, read_config_map)
        self.deployments = Mirror(api, DEPLOYMENTS, namespaces, SELECTOR, SeenDeployment.model_validate)
        self.networks = Mirror(api, SERVICES, namespaces, SELECTOR, SeenService.model_validate)
        self.pods = Mirror(api, PODS, namespaces, SELECTOR, SeenPod.model_validate)
        self.nodes = None if namespaces else Mirror(api, NODES, (), None, SeenNode.model_validate)

    def changed(self, kind: str, subject: str, resource_version: str | None) -> bool:
        """An object of this kind (a plural) changed; False if that is of no interest, or known already."""
        mirrors = (
            self.services,
            self.runtimes,
            self.profiles,
            self.config_maps,
            self.deployments,
            self.networks,
            self.pods,
            *(() if self.nodes is None else (self.nodes,)),
        )
        return any(each.changed(subject, resource_version) for each in mirrors if each.kind.plural == kind)

    async def refresh(self, now: float) -> None:
        """Read what changed.

        Raises:
            ApiError: some of it could not be read.
        """
        await together(
            (
                self.services.refresh(now),
                self.runtimes.refresh(now),
                self.profiles.refresh(now),
                self.config_maps.refresh(now),
                self.deployments.refresh(now),
                self.networks.refresh(now),
                self.pods.refresh(now),
                *(() if self.nodes is None else (self.nodes.refresh(now),)),
            )
        )

    def doubt(self, owner: Owner) -> None:
        """Something about an instance was not as it was held to be: read its owner and its objects again."""
        declared = self.services if owner.kind is OwnerKind.SERVICE else self.runtimes
        declared.changed(owner.key, None)
        for mirror in (self.config_maps, self.deployments, self.networks):
            mirror.changed(key_of(owner), None)

    def owners(self) -> dict[Owner, HeldOwner]:
        """What may own an instance: what is declared, and is not being deleted."""
        held: tuple[HeldOwner, ...] = (*self.declared(), *self.declared_runtimes())
        return {each.owner: each for each in held}

    def declared(self) -> tuple[HeldService, ...]:
        """The services, without those that are being deleted."""
        return tuple(each for each in self.services.objects.values() if not each.metadata.ending)

    def declared_runtimes(self) -> tuple[HeldRuntime, ...]:
        """The runtimes, without those that are being deleted."""
        return tuple(each for each in self.runtimes.objects.values() if not each.metadata.ending)

    def found(self) -> dict[Owner, Found]:
        """By owner: what there is of its instance."""
        pods: dict[Owner | None, list[SeenPod]] = {}
        for pod in self.pods.objects.values():
            pods.setdefault(pod.metadata.owner, []).append(pod)
        written = (self.config_maps.objects, self.deployments.objects, self.networks.objects)
        owners = {each.metadata.owner for objects in written for each in objects.values()} | pods.keys()
        return {owner: self._found(owner, pods.get(owner, ())) for owner in owners if owner is not None}

    def found_of(self, owner: Owner) -> Found:
        """What there is of one owner's instance."""
        return self._found(owner, (pod for pod in self.pods.objects.values() if pod.metadata.owner == owner))

    def _found(self, owner: Owner, pods: Iterable[SeenPod]) -> Found:
        return found(owner, self.config_maps.objects, self.deployments.objects, self.networks.objects, pods)

    def measured(self) -> tuple[ModelProfile, ...]:
        """The profiles; what a person declares stands first."""
        held = (each.profile for each in self.profiles.objects.values() if not each.metadata.ending)
        known = (profile for profile in held if profile is not None)
        return tuple(sorted(known, key=lambda each: (each.measured, each.key)))

    def devices(self) -> Mapping[str, int] | None:
        """How many devices the nodes have, by resource; None if they are not looked at."""
        if self.nodes is None:
            return None
        return dict(sum((Counter(node.devices) for node in self.nodes.objects.values()), Counter()))

    def node_of(self, pod: SeenPod | None) -> SeenNode | None:
        """The node that a pod runs on; None if there is none, or if nodes are not looked at."""
        if self.nodes is None or pod is None or pod.spec.node_name is None:
            return None
        return self.nodes.objects.get(f"/{pod.spec.node_name}")

    def problems(self) -> tuple[Problem, ...]:
        """What is declared and cannot be used."""
        services = [
            Problem(f"{INFERENCE_SERVICES.plural}.framepilot.dev {each.metadata.key}", each.problem, each.metadata.key)
            for each in self.declared()
            if each.problem is not None
        ]
        runtimes = [
            Problem(f"{INFERENCE_RUNTIMES.plural}.framepilot.dev {key}", held.problem)
            for key, held in self.runtimes.objects.items()
            if held.problem is not None
        ]
        return (*services, *runtimes, *self.without_status())

    def without_status(self) -> tuple[Problem, ...]:
        """The same of what has no status that would say so."""
        profiles = [
            Problem(f"{MODEL_PROFILES.plural}.framepilot.dev {key}", held.problem)
            for key, held in self.profiles.objects.items()
            if held.problem is not None
        ]
        return (*profiles, *(() if self.nodes is None else price_problems(self.nodes.objects.values())))
