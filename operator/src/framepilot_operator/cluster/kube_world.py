"""All that is known of the cluster: a mirror of each kind that is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from framepilot.resources.profile import ModelProfile
from framepilot_operator.cluster.kube_api import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    MODEL_PROFILES,
    PODS,
    SERVICES,
    KubeApi,
)
from framepilot_operator.cluster.kube_declared import HeldService, read_profile, read_service
from framepilot_operator.cluster.kube_instance import Found, found, read_config_map
from framepilot_operator.cluster.kube_mirror import Mirror, together
from framepilot_operator.cluster.port import Problem
from framepilot_operator.manifests.names import SELECTOR, object_name
from framepilot_operator.manifests.seen import SeenDeployment, SeenPod, SeenService


class World:
    """Declarations, profiles, and the objects of instances. Used in one event loop."""

    def __init__(self, api: KubeApi, namespaces: Sequence[str]) -> None:
        """`namespaces`: those that are looked at; none: all."""
        self.services = Mirror(api, INFERENCE_SERVICES, namespaces, None, read_service)
        self.profiles = Mirror(api, MODEL_PROFILES, namespaces, None, read_profile)
        self.config_maps = Mirror(api, CONFIG_MAPS, namespaces, SELECTOR, read_config_map)
        self.deployments = Mirror(api, DEPLOYMENTS, namespaces, SELECTOR, SeenDeployment.model_validate)
        self.networks = Mirror(api, SERVICES, namespaces, SELECTOR, SeenService.model_validate)
        self.pods = Mirror(api, PODS, namespaces, SELECTOR, SeenPod.model_validate)

    def changed(self, kind: str, subject: str, resource_version: str | None) -> bool:
        """An object of this kind (a plural) changed; False if that is of no interest, or known already."""
        mirrors = (self.services, self.profiles, self.config_maps, self.deployments, self.networks, self.pods)
        return any(each.changed(subject, resource_version) for each in mirrors if each.kind.plural == kind)

    async def refresh(self, now: float) -> None:
        """Read what changed.

        Raises:
            ApiError: some of it could not be read.
        """
        await together(
            (
                self.services.refresh(now),
                self.profiles.refresh(now),
                self.config_maps.refresh(now),
                self.deployments.refresh(now),
                self.networks.refresh(now),
                self.pods.refresh(now),
            )
        )

    def doubt(self, service: str) -> None:
        """Something about a service was not as it was held to be: read it and its objects again."""
        namespace, _, name = service.partition("/")
        key = f"{namespace}/{object_name(name)}"
        self.services.changed(service, None)
        self.config_maps.changed(key, None)
        self.deployments.changed(key, None)
        self.networks.changed(key, None)

    def declared(self) -> dict[str, HeldService]:
        """By key: what is declared, and is not being deleted."""
        return {key: held for key, held in self.services.objects.items() if not held.metadata.ending}

    def found(self) -> dict[str, Found]:
        """By service: what there is of its instance."""
        pods: dict[str | None, list[SeenPod]] = {}
        for pod in self.pods.objects.values():
            pods.setdefault(pod.metadata.service, []).append(pod)
        written = (self.config_maps.objects, self.deployments.objects, self.networks.objects)
        services = {each.metadata.service for objects in written for each in objects.values()} | pods.keys()
        return {service: self._found(service, pods.get(service, ())) for service in services if service is not None}

    def found_of(self, service: str) -> Found:
        """What there is of one service's instance."""
        return self._found(service, (pod for pod in self.pods.objects.values() if pod.metadata.service == service))

    def _found(self, service: str, pods: Iterable[SeenPod]) -> Found:
        return found(service, self.config_maps.objects, self.deployments.objects, self.networks.objects, pods)

    def measured(self) -> tuple[ModelProfile, ...]:
        """The profiles; what a person declares stands first."""
        held = sorted(self.profiles.objects.values(), key=lambda each: (each.measured, each.metadata.key))
        return tuple(each.profile for each in held if each.profile is not None and not each.metadata.ending)

    def problems(self) -> tuple[Problem, ...]:
        """What is declared and cannot be used."""
        services = [
            Problem(f"inferenceservices.framepilot.dev {key}", held.problem, key)
            for key, held in self.declared().items()
            if held.problem is not None
        ]
        profiles = [
            Problem(f"modelprofiles.framepilot.dev {key}", held.problem)
            for key, held in self.profiles.objects.items()
            if held.problem is not None
        ]
        return (*services, *profiles)
