"""An operator that does one thing at a time: the port on a real API server, and the loop's verbs by hand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_kube_config
from prometheus_client import CollectorRegistry, Counter

from framepilot.contract.desired import DesiredState
from framepilot_operator.cluster.kube_api import KubeApi
from framepilot_operator.cluster.kubernetes import KubernetesCluster, KubernetesSettings
from framepilot_operator.cluster.port import Instance, Snapshot, WriteDesired
from framepilot_operator.decision import decide
from framepilot_operator.loop import Memory, reconcile
from support.kubectl import Kubectl

SERVICE = "inferenceservices.framepilot.dev"
OBJECT = "framepilot-lobby"
MISSING_IMAGE = "127.0.0.1:5000/framepilot-there-is-no-such-image:1"
GIVE_UP_S = 120.0
WATCHED = {
    "InferenceService": SERVICE,
    "InferenceRuntime": "inferenceruntimes.framepilot.dev",
    "ModelProfile": "modelprofiles.framepilot.dev",
    "Deployment": "deployments",
    "ConfigMap": "configmaps",
    "Service": "services",
    "Pod": "pods",
}
"""What the port is told of: kinds, and how kubectl calls them."""


async def connected(kubeconfig: Path, account: str) -> ApiClient:
    """A client that may do what an account may."""
    configuration = Configuration()
    await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    made = ApiClient(configuration)
    made.set_default_header("Impersonate-User", account)
    return made


@dataclass
class PortOperator:
    """An operator of one namespace that is told of every object that there is whenever it looks."""

    kubectl: Kubectl
    cluster: KubernetesCluster
    requests: Counter
    memory: Memory = field(default_factory=Memory)
    versions: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def made(cls, kubectl: Kubectl, client: ApiClient, image: str = MISSING_IMAGE) -> PortOperator:
        """One that gives an image to instances; whoever makes it closes its `cluster`."""
        name = "framepilot_operator_api_requests_total"
        requests = Counter(name, "Requests.", ("verb", "kind"), registry=CollectorRegistry())
        settings = KubernetesSettings(image, namespaces=(str(kubectl.namespace),))
        return cls(kubectl, KubernetesCluster(KubeApi(client, requests), settings), requests)

    async def look(self) -> Snapshot:
        self._tell()
        return await self.cluster.observe()

    async def reconcile(self) -> Memory:
        self._tell()
        return await self.reconcile_untold()

    async def reconcile_untold(self) -> Memory:
        """A pass without being told of anything."""
        self.memory = await reconcile(self.cluster, time.time, self.memory)
        return self.memory

    async def settled(self) -> Memory:
        """Reconcile until a pass writes nothing."""
        while True:
            before = self.writes()
            memory = await self.reconcile()
            if self.writes() == before:
                return memory

    async def settle(self, what: str, settled: Callable[[Snapshot], bool]) -> None:
        """Reconcile until it is so."""
        give_up_at = time.monotonic() + GIVE_UP_S
        while True:
            await self.reconcile()
            if settled(await self.cluster.observe()):
                return
            assert time.monotonic() < give_up_at, f"gave up waiting for {what}"
            await asyncio.sleep(0.1)

    async def wanted(self) -> WriteDesired:
        """The one thing that the loop would write now."""
        (change,) = (change for _, change in decide(await self.look(), time.time()).changes)
        assert isinstance(change, WriteDesired)
        return change

    def counted(self, *verbs: str) -> dict[str, float]:
        """Requests so far by `verb kind`, of these verbs or all."""
        samples = (sample for metric in self.requests.collect() for sample in metric.samples)
        return {
            f"{sample.labels['verb']} {sample.labels['kind']}": sample.value
            for sample in samples
            if sample.name.endswith("_total") and (not verbs or sample.labels["verb"] in verbs)
        }

    def writes(self) -> dict[str, float]:
        return self.counted("create", "patch", "delete")

    def _tell(self) -> None:
        items = self.kubectl.get(",".join(WATCHED.values()))["items"]
        there = {
            (WATCHED[item["kind"]].partition(".")[0], f"{metadata['namespace']}/{metadata['name']}"): metadata
            for item in items
            for metadata in (item["metadata"],)
        }
        versions = {subject: metadata["resourceVersion"] for subject, metadata in there.items()}
        for each in self.versions.keys() - versions.keys():
            self.cluster.changed(*each)
        for each, version in versions.items():
            if self.versions.get(each) != version:
                self.cluster.changed(*each, version)
        self.versions = versions


Operators = Callable[..., PortOperator]
"""Makes one; `image` is what it gives to instances, by default one that does not exist."""


def service(name: str = "lobby", **spec: Any) -> dict[str, Any]:
    """A resource with one module and batches of 4; `spec` replaces parts."""
    return {
        "apiVersion": "framepilot.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {
            "streams": [{"name": "door", "source": "test://160x120?fps=20", "delivery": "lossless"}],
            "modules": [{"name": "age", "model": {"name": "age", "version": "1"}}],
            "models": {"store": "file:///samples/models"},
            "objective": {"latency": "2s"},
            "batching": {"mode": "Fixed", "size": 4},
            **spec,
        },
    }


def patch_size(kubectl: Kubectl, size: int) -> None:
    patch = json.dumps({"spec": {"batching": {"size": size}}})
    kubectl("patch", SERVICE, "lobby", "--type=merge", "-p", patch)


def instance_of(snapshot: Snapshot, name: str = "lobby") -> Instance:
    (found,) = (each for each in snapshot.instances if each.owner.name == name)
    return found


def cannot_be_pulled(snapshot: Snapshot) -> bool:
    """Whether it is seen that the image of the instance does not exist."""
    return "cannot be pulled" in str(instance_of(snapshot).reason)


def stored(kubectl: Kubectl, name: str = OBJECT) -> DesiredState:
    """The desired state of an instance."""
    return DesiredState.parse(kubectl.get("configmap", name)["data"]["desired.json"])


def batch_size(document: DesiredState) -> int:
    return document.pipelines[0].modules[0].batch.size
