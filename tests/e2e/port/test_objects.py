"""The port on a real API server, one call at a time: what is written, what is not, and what is said when it cannot be.

It is used here by an account with the rules that the chart gives in namespaced mode, and nothing more. Where a process
has to answer, the real one runs; elsewhere its image does not exist, which is a thing to be said, too. No other
operator may be at work meanwhile, so the one that the chart installed is away.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_kube_config
from prometheus_client import CollectorRegistry, Counter

from framepilot.contract.desired import DesiredState
from framepilot.resources.parse import parse_resource
from framepilot.resources.profile import ModelProfile
from framepilot_operator.cluster import kube_api
from framepilot_operator.cluster.kube_api import KubeApi
from framepilot_operator.cluster.kubernetes import KubernetesCluster, KubernetesSettings
from framepilot_operator.cluster.port import (
    ClusterError,
    Instance,
    RemoveInstance,
    Snapshot,
    WriteDesired,
    WriteProfile,
)
from framepilot_operator.loop import Memory, decide, reconcile
from support.images.build import INFERENCE_APP
from support.kubectl import Kubectl, until
from support.operator_release import OperatorRelease
from support.resources import profile_document
from support.samples.build import build as samples

KIND = "inferenceservices.framepilot.dev"
ACCOUNT = "framepilot-operator-under-test"
MISSING_IMAGE = "127.0.0.1:5000/framepilot-there-is-no-such-image:1"
OBJECT = "framepilot-lobby"
KINDS = ("inferenceservices", "modelprofiles", "deployments", "configmaps", "services", "pods")
RULES = [
    {"apiGroups": ["framepilot.dev"], "resources": ["inferenceservices"], "verbs": ["get", "list"]},
    {"apiGroups": ["framepilot.dev"], "resources": ["inferenceservices/status"], "verbs": ["patch"]},
    {
        "apiGroups": ["framepilot.dev"],
        "resources": ["modelprofiles"],
        "verbs": ["get", "list", "create", "patch"],
    },
    {
        "apiGroups": ["", "apps"],
        "resources": ["deployments", "configmaps", "services"],
        "verbs": ["get", "list", "create", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "patch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
]
"""What the port needs; whoever watches needs `watch` besides."""


@pytest.fixture(scope="module", autouse=True)
def alone(operator: OperatorRelease) -> Iterator[None]:
    """No other operator works meanwhile."""
    operator.scale(0)
    yield
    operator.scale(1)


@pytest.fixture
def granted(namespace: Kubectl) -> Kubectl:
    """The namespace, in which the account may do what the rules say."""
    metadata = {"name": "operator"}
    namespace.apply(
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": RULES},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": ACCOUNT}],
        },
    )
    return namespace


@pytest.fixture
async def client(kubectl: Kubectl) -> AsyncIterator[ApiClient]:
    async with await connected(kubectl.kubeconfig, ACCOUNT) as made:
        yield made


async def connected(kubeconfig: Path, account: str) -> ApiClient:
    configuration = Configuration()
    await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    made = ApiClient(configuration)
    made.set_default_header("Impersonate-User", account)
    return made


@dataclass
class Operator:
    """An operator that is told of every object that there is whenever it looks."""

    kubectl: Kubectl
    cluster: KubernetesCluster
    requests: Counter
    memory: Memory = field(default_factory=Memory)
    versions: dict[str, str] = field(default_factory=dict)

    async def look(self) -> Snapshot:
        self._tell()
        return await self.cluster.observe()

    async def reconcile(self) -> Memory:
        self._tell()
        self.memory = await reconcile(self.cluster, time.time, self.memory)
        return self.memory

    async def settled(self) -> Memory:
        """Reconcile until a pass writes nothing."""
        while True:
            before = self.writes()
            memory = await self.reconcile()
            if self.writes() == before:
                return memory

    async def settle(self, what: str, settled: Any) -> None:
        """Reconcile until it is so."""
        give_up_at = time.monotonic() + 120
        while True:
            await self.reconcile()
            if settled(await self.cluster.observe()):
                return
            assert time.monotonic() < give_up_at, f"gave up waiting for {what}"
            await asyncio.sleep(0.1)

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
        there = {
            f"{kind} {item['metadata']['namespace']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for kind in KINDS
            for item in self.kubectl.get(f"{kind}.framepilot.dev" if kind in KINDS[:2] else kind)["items"]
        }
        for each in self.versions.keys() - there.keys():
            self.cluster.changed(*each.split())
        for each, version in there.items():
            if self.versions.get(each) != version:
                self.cluster.changed(*each.split(), version)
        self.versions = there


@pytest.fixture
async def operators(granted: Kubectl, client: ApiClient) -> AsyncIterator[Any]:
    """Makes operators; any number at once."""
    made: list[KubernetesCluster] = []

    def make(image: str = MISSING_IMAGE, **settings: Any) -> Operator:
        requests = Counter(
            "framepilot_operator_api_requests_total", "Requests.", ("verb", "kind"), registry=CollectorRegistry()
        )
        namespaces = (str(granted.namespace),)
        cluster = KubernetesCluster(
            KubeApi(client, requests), KubernetesSettings(image, namespaces=namespaces, **settings)
        )
        made.append(cluster)
        return Operator(granted, cluster, requests)

    yield make
    for cluster in made:
        await cluster.close()


def service(name: str = "lobby", **spec: Any) -> dict[str, Any]:
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


def instance_of(snapshot: Snapshot, name: str = "lobby") -> Instance:
    (found,) = (each for each in snapshot.instances if each.service.endswith(f"/{name}"))
    return found


def stored(kubectl: Kubectl, name: str = OBJECT) -> DesiredState:
    return DesiredState.parse(kubectl.get("configmap", name)["data"]["desired.json"])


def batch_size(document: DesiredState) -> int:
    return document.pipelines[0].modules[0].batch.size


def patch_size(kubectl: Kubectl, size: int) -> None:
    patch = json.dumps({"spec": {"batching": {"size": size}}})
    kubectl("patch", KIND, "lobby", "--type=merge", "-p", patch)


async def wanted(operator: Operator) -> WriteDesired:
    """What the loop would write now."""
    (change,) = (change for _, change in decide(await operator.look(), Memory()).changes)
    assert isinstance(change, WriteDesired)
    return change


def events(kubectl: Kubectl) -> list[tuple[str, str]]:
    """Type and reason of each Event about a service."""
    items = kubectl.get("events.events.k8s.io")["items"]
    return [(each["type"], each["reason"]) for each in items if each["regarding"]["kind"] == "InferenceService"]


async def test_a_service_gets_its_objects_and_then_nothing_more_is_asked_or_written(
    granted: Kubectl, operators: Any
) -> None:
    granted.apply(service())
    operator = operators()
    await operator.reconcile()
    owner = granted.get(KIND, "lobby")["metadata"]["uid"]
    for kind in ("deployment", "configmap", "service"):
        (reference,) = granted.get(kind, OBJECT)["metadata"]["ownerReferences"]
        assert (reference["uid"], reference["controller"]) == (owner, True)
    assert (stored(granted).generation, stored(granted).instance_uid, batch_size(stored(granted))) == (1, owner, 4)
    assert operator.writes() == {
        "create configmaps": 1,
        "patch services": 1,
        "patch deployments": 1,
        "patch inferenceservices/status": 1,
    }
    await operator.settle("the image to be refused", lambda snapshot: "pulled" in str(instance_of(snapshot).reason))
    until("kubelet's first news", lambda: granted.get("pods")["items"][0]["status"].get("containerStatuses"))
    await operator.reconcile()
    before = operator.counted()
    for _ in range(20):
        operator.memory = await reconcile(operator.cluster, time.time, operator.memory)
    assert operator.counted() == before


async def test_its_status_says_what_a_person_can_act_on(granted: Kubectl, operators: Any) -> None:
    granted.apply(service())
    operator = operators()
    await operator.settle("the image to be refused", lambda snapshot: "pulled" in str(instance_of(snapshot).reason))
    await operator.reconcile()
    said = granted.condition(KIND, "lobby", "Ready")
    assert (said["status"], said["observedGeneration"]) == ("False", 1)
    assert f"the image {MISSING_IMAGE} cannot be pulled" in said["message"]


async def test_an_instance_that_no_node_takes_says_so(granted: Kubectl, operators: Any) -> None:
    granted.apply(service(template={"resources": {"limits": {"example.com/no-such-device": 1}}}))
    operator = operators()
    await operator.settle("the scheduler", lambda snapshot: "no node takes" in str(instance_of(snapshot).reason))
    assert "Insufficient example.com/no-such-device" in str(instance_of(await operator.look()).reason)


async def test_an_operator_that_starts_anew_finds_everything_as_it_was(granted: Kubectl, operators: Any) -> None:
    granted.apply(service())
    await operators().settle("the image", lambda snapshot: "pulled" in str(instance_of(snapshot).reason))
    await operators().reconcile()
    another = operators()
    await another.reconcile()
    assert another.writes() == {}
    assert instance_of(await another.look()).current


async def test_another_image_replaces_the_pod_and_another_batch_does_not(granted: Kubectl, operators: Any) -> None:
    granted.apply(service())
    operator = operators()
    await operator.reconcile()
    template = granted.get("deployment", OBJECT)["spec"]["template"]
    patch_size(granted, 8)
    await operator.reconcile()
    assert (stored(granted).generation, batch_size(stored(granted))) == (2, 8)
    assert granted.get("deployment", OBJECT)["spec"]["template"] == template
    upgraded = operators(image=f"{MISSING_IMAGE}0")
    assert not instance_of(await upgraded.look()).current
    await upgraded.reconcile()
    assert granted.get("deployment", OBJECT)["spec"]["template"] != template
    assert stored(granted).generation == 2


async def test_what_the_template_does_not_say_any_more_is_gone(granted: Kubectl, operators: Any) -> None:
    granted.apply(service(template={"env": [{"name": "EXTRA", "value": "1"}], "nodeSelector": {"a": "b"}}))
    operator = operators()
    await operator.reconcile()
    assert "EXTRA" in str(granted.get("deployment", OBJECT)["spec"])
    granted("patch", KIND, "lobby", "--type=merge", "-p", json.dumps({"spec": {"template": None}}))
    await operator.reconcile()
    spec = granted.get("deployment", OBJECT)["spec"]
    assert "EXTRA" not in str(spec)
    assert "nodeSelector" not in spec["template"]["spec"]


@pytest.mark.parametrize("kind", ["deployment", "service", "configmap"])
async def test_an_object_that_somebody_deleted_comes_back(granted: Kubectl, operators: Any, kind: str) -> None:
    granted.apply(service())
    operator = operators()
    await operator.reconcile()
    await operator.look()
    granted("delete", kind, OBJECT, "--wait")
    await operator.settle("it to be back", lambda _: granted.find(kind, OBJECT) is not None)


async def test_a_damaged_or_edited_desired_state_is_written_again(granted: Kubectl, operators: Any) -> None:
    granted.apply(service())
    operator = operators()
    await operator.reconcile()
    good = stored(granted)
    edited = good.to_json().replace('"size": 4', '"size": 64')
    for content in ("{", edited):
        patch = json.dumps({"data": {"desired.json": content}})
        granted("patch", "configmap", OBJECT, "--type=merge", "-p", patch)
        await operator.reconcile()
        assert batch_size(stored(granted)) == 4
    assert stored(granted).generation == 2


async def test_of_two_operators_that_write_at_once_one_fails_and_looks_again(granted: Kubectl, operators: Any) -> None:
    granted.apply(service())
    one, other = operators(), operators()
    first, second = await wanted(one), await wanted(other)
    await one.cluster.apply(first)
    with pytest.raises(ClusterError, match="409"):
        await other.cluster.apply(second)
    patch_size(granted, 8)
    first, second = await wanted(one), await wanted(other)
    await other.cluster.apply(second)
    with pytest.raises(ClusterError, match="409"):
        await one.cluster.apply(first)
    # Without being told of anything: it doubts what it held to be true.
    assert instance_of(await one.cluster.observe()).desired == stored(granted)
    assert stored(granted).generation == 2


async def test_a_service_that_is_declared_again_waits_for_the_end_of_the_one_before(
    granted: Kubectl, operators: Any
) -> None:
    granted.apply(service())
    operator = operators()
    await operator.reconcile()
    earlier = granted.get(KIND, "lobby")["metadata"]["uid"]
    # A finalizer keeps what belongs to the earlier one.
    hold = json.dumps({"metadata": {"finalizers": ["example.com/hold"]}})
    granted("patch", "configmap", OBJECT, "--type=merge", "-p", hold)
    granted("delete", KIND, "lobby")
    granted.apply(service())
    until("the collector", lambda: "deletionTimestamp" in granted.get("configmap", OBJECT)["metadata"])
    memory = await operator.reconcile()
    assert "still ending" in str(memory.failures)
    assert stored(granted).instance_uid == earlier
    granted("patch", "configmap", OBJECT, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}}))
    await operator.settle("the new one", lambda snapshot: any(each.current for each in snapshot.instances))
    assert stored(granted).instance_uid == granted.get(KIND, "lobby")["metadata"]["uid"] != earlier
    assert stored(granted).generation == 1


async def test_a_desired_state_that_no_config_map_holds_is_refused_in_words(granted: Kubectl, operators: Any) -> None:
    granted.apply(service())
    operator = operators()
    change = await wanted(operator)
    (pipeline,) = change.document.pipelines
    (stream,) = pipeline.streams
    many = tuple(stream.model_copy(update={"name": f"s{number}"}) for number in range(10_000))
    large = change.document.model_copy(update={"pipelines": (pipeline.model_copy(update={"streams": many}),)})
    with pytest.raises(ClusterError, match="a ConfigMap holds 1048576; declare fewer streams"):
        await operator.cluster.apply(WriteDesired(change.instance, change.service, large))
    assert granted.find("configmap", OBJECT) is None


async def test_what_nobody_declares_is_removed(granted: Kubectl, operators: Any) -> None:
    granted.apply(service(), service("hall"))
    operator = operators()
    await operator.reconcile()
    # The collector leaves these alone: they are made orphans.
    granted("delete", KIND, "lobby", "--cascade=orphan")
    await operator.reconcile()
    await operator.settle("its end", lambda snapshot: len(snapshot.instances) == 1)
    for kind in ("deployment", "configmap", "service"):
        until(f"the {kind} to go", lambda kind=kind: granted.find(kind, OBJECT) is None)
        assert granted.find(kind, "framepilot-hall") is not None
    await operator.cluster.apply(RemoveInstance(f"{granted.namespace}/lobby"))


async def test_what_somebody_else_calls_by_the_same_name_is_left_alone(granted: Kubectl, operators: Any) -> None:
    network = {"selector": {"app": "theirs"}, "ports": [{"name": "http", "port": 80}]}
    granted.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": OBJECT}, "spec": network},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "framepilot-hall"}, "data": {"a": "b"}},
    )
    before = (granted.get("service", OBJECT), granted.get("configmap", "framepilot-hall"))
    granted.apply(service(), service("hall"))
    memory = await operators().reconcile()
    for name in ("lobby", "hall"):
        assert "rename it, or the service" in memory.failures[f"{granted.namespace}/{name}"]
    assert (granted.get("service", OBJECT), granted.get("configmap", "framepilot-hall")) == before


async def test_a_declaration_that_makes_no_sense_here_is_told_and_what_runs_goes_on(
    granted: Kubectl, operators: Any
) -> None:
    granted.apply(service())
    operator = operators()
    await operator.reconcile()
    granted.apply(service(models={"store": "file:models"}))
    snapshot = await operator.look()
    (problem,) = snapshot.problems
    assert problem.service == f"{granted.namespace}/lobby"
    assert "spec.models.store" in problem.message
    await operator.reconcile()
    assert stored(granted).generation == 1
    assert granted.find("deployment", OBJECT) is not None
    stalled = granted.condition(KIND, "lobby", "Stalled")
    assert (stalled["status"], stalled["reason"], stalled["observedGeneration"]) == ("True", "InvalidDeclaration", 2)
    assert ("Warning", "InvalidDeclaration") in events(granted)
    before = operator.writes()
    await operators().reconcile()
    await operator.reconcile()
    assert operator.writes() == before
    granted.apply(service())
    await operator.reconcile()
    assert granted.condition(KIND, "lobby", "Stalled")["status"] == "False"


async def test_an_event_is_written_once_for_what_a_person_must_act_on(granted: Kubectl, operators: Any) -> None:
    granted.apply(service(models={"store": "file:models"}))
    for _ in range(3):
        await operators().reconcile()
    assert events(granted) == [("Warning", "InvalidDeclaration")]


async def test_a_measured_profile_is_kept_and_a_persons_stands_before_it(
    granted: Kubectl, operators: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube_api, "PAGE", 2)
    document = profile_document()
    document["metadata"]["namespace"] = granted.namespace
    measured = parse_resource(document, "test")
    assert isinstance(measured, ModelProfile)
    operator = operators()
    await operator.look()
    await operator.cluster.apply(WriteProfile(measured))
    (kept,) = (await operator.cluster.observe()).profiles
    assert kept.spec == measured.spec
    granted.apply(*({**document, "metadata": {"name": f"z-by-hand-{number}"}} for number in range(4)))
    # More than two pages, and the last of them in the alphabet come first.
    names = [profile.metadata.name for profile in (await operators().look()).profiles]
    assert names == [*(f"z-by-hand-{number}" for number in range(4)), measured.metadata.name]


async def test_an_account_that_may_not_is_told_which_rule_is_missing(kubectl: Kubectl, granted: Kubectl) -> None:
    requests = Counter("requests_total", "Requests.", ("verb", "kind"), registry=CollectorRegistry())
    async with await connected(kubectl.kubeconfig, "nobody-in-particular") as client:
        api = KubeApi(client, requests)
        cluster = KubernetesCluster(api, KubernetesSettings(MISSING_IMAGE, namespaces=(str(granted.namespace),)))
        with pytest.raises(ClusterError, match=r"403.*cannot list resource.*lacks this rule"):
            await cluster.observe()
        await cluster.close()


async def test_an_api_server_that_is_away_is_said_to_be_away() -> None:
    requests = Counter("requests_total", "Requests.", ("verb", "kind"), registry=CollectorRegistry())
    async with ApiClient(Configuration(host="http://127.0.0.1:9")) as client:
        cluster = KubernetesCluster(KubeApi(client, requests), KubernetesSettings(MISSING_IMAGE))
        with pytest.raises(ClusterError, match="the API server does not answer"):
            await cluster.observe()
        await cluster.close()


@pytest.fixture
def volume(granted: Kubectl) -> Iterator[Mapping[str, Any]]:
    """A template that mounts the sample models."""
    name = f"{granted.namespace}-models"
    common = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    granted.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {**common, "capacity": {"storage": "1Gi"}, "hostPath": {"path": str(samples())}},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "samples"},
            "spec": {**common, "volumeName": name, "resources": {"requests": {"storage": "1Gi"}}},
        },
    )
    yield {
        "volumes": [{"name": "samples", "persistentVolumeClaim": {"claimName": "samples", "readOnly": True}}],
        "volumeMounts": [{"name": "samples", "mountPath": "/samples", "readOnly": True}],
    }
    granted("delete", "persistentvolume", name, "--wait=false")


def in_force(size: int) -> Any:
    """Whether a model serves with this batch size, as the newest desired state says."""

    def settled(snapshot: Snapshot) -> bool:
        instance = instance_of(snapshot)
        desired, observed = instance.desired, instance.observed
        if desired is None or observed is None or observed.generation != desired.generation or not observed.modules:
            return False
        return observed.modules[0].serving is not None and observed.modules[0].batch.size == size

    return settled


async def test_a_change_reaches_the_running_process_and_a_lost_nudge_is_repeated(
    granted: Kubectl, operators: Any, images: dict[str, str], volume: Mapping[str, Any]
) -> None:
    granted.apply(service(template=volume))
    operator = operators(image=images[INFERENCE_APP])
    await operator.settle("the first model to serve", in_force(4))
    (before,) = granted.get("pods")["items"]
    for size in (8, 2, 16):
        patch_size(granted, size)
        await operator.settle(f"batches of {size}", in_force(size))
    # As if an operator had ended between the two writes: nobody has told the pod.
    following = stored(granted).model_copy(update={"generation": 99})
    patch = json.dumps({"data": {"desired.json": following.to_json()}})
    granted("patch", "configmap", OBJECT, "--type=merge", "-p", patch)
    await operator.settle("what nobody was told of", in_force(16))
    (after,) = granted.get("pods")["items"]
    annotations = after["metadata"]["annotations"]
    assert annotations["framepilot.dev/generation"] == "99"
    assert "framepilot.dev/nudge" in annotations
    (old,), (new,) = before["status"]["containerStatuses"], after["status"]["containerStatuses"]
    assert (new["containerID"], new["restartCount"]) == (old["containerID"], old["restartCount"])
    profiles = (await operator.look()).profiles
    assert [profile.spec.model for profile in profiles] == ["age"]


async def test_a_running_service_costs_no_request_but_its_status(
    granted: Kubectl, operators: Any, images: dict[str, str], volume: Mapping[str, Any]
) -> None:
    granted.apply(service(template=volume))
    operator = operators(image=images[INFERENCE_APP])
    await operator.settle("the model to serve", in_force(4))
    assert (await operator.settled()).changed is False
    before = operator.counted()
    for _ in range(20):
        operator.memory = await reconcile(operator.cluster, time.time, operator.memory)
        await asyncio.sleep(0.1)
    assert operator.counted() == before
