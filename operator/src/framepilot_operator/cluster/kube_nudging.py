"""Makes kubelet bring a new ConfigMap to a pod at once: a change of the pod's annotations makes it look at its volumes.

What was lost on the way shows in `/status`, so a pod that goes on saying that it has an older desired state is told
again, after waits that grow: there may be another reason than a lost nudge.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from framepilot_operator.cluster.kube_api import PODS, ApiError, JsonObject, KubeApi
from framepilot_operator.cluster.kube_instance import Found, process_of
from framepilot_operator.cluster.kube_mirror import Mirror
from framepilot_operator.cluster.kube_polling import Heard
from framepilot_operator.manifests.names import GENERATION, NUDGE
from framepilot_operator.manifests.seen import SeenPod

LONGEST_WAIT_S: Final = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Told:
    """When a process was told of which generation, and how long to wait for it."""

    generation: int
    at: float
    wait_s: float


class Nudging:
    """Tells pods of their desired state. What it remembers is only when to be patient."""

    def __init__(self, api: KubeApi, pods: Mirror[SeenPod], again_s: float, now: Callable[[], float]) -> None:
        """A pod that did not follow is told again after `again_s`, and then after waits twice as long."""
        self._api = api
        self._pods = pods
        self._again_s = again_s
        self._now = now
        self._told: dict[str, _Told] = {}

    async def tell(self, found: Found, uid: str, generation: int) -> None:
        """There is a new generation; a pod that does not run yet starts with it anyway.

        Raises:
            ApiError: the pod could not be told.
        """
        pod = found.pod(uid)
        if pod is None or not pod.running:
            return
        self._told[process_of(pod)] = _Told(generation, self._now(), self._again_s)
        await self._patch(pod, {GENERATION: str(generation)})

    async def tell_again(self, found: Found, uid: str, heard: Heard) -> None:
        """Tell the pod once more, if it says that it has an older generation and had time to follow."""
        pod = found.pod(uid)
        if pod is None or not pod.running or heard.observed is None or heard.observed.generation >= found.generation:
            return
        told = self._told.get(process_of(pod))
        wait_s = self._again_s
        if told is not None and told.generation == found.generation:
            if self._now() < told.at + told.wait_s:
                return
            wait_s = min(2 * told.wait_s, LONGEST_WAIT_S)
        self._told[process_of(pod)] = _Told(found.generation, self._now(), wait_s)
        try:
            await self._patch(pod, {GENERATION: str(found.generation), NUDGE: str(round(self._now() * 1000))})
        except ApiError as error:
            _log.warning("%s: its pod is not told of generation %d: %s", found.owner, found.generation, error)

    def forget_others(self, processes: Iterable[str]) -> None:
        """Only these processes are there now."""
        self._told = {process: self._told[process] for process in processes if process in self._told}

    async def _patch(self, pod: SeenPod, annotations: JsonObject) -> None:
        patch: JsonObject = {"metadata": {"annotations": annotations}}
        try:
            self._pods.put(await self._api.merge(PODS, pod.metadata.namespace, pod.metadata.name, patch))
        except ApiError as error:
            if not error.missing:
                raise
            self._pods.changed(pod.metadata.key, None)
