"""What is written for an instance, and when it is written again; nobody else's objects are touched."""

from __future__ import annotations

import json

import pytest

from framepilot_operator.cluster.port import ClusterError, RemoveInstance
from framepilot_operator.manifests.owner import Owner
from support.kubectl import Kubectl, until
from support.port_operator import (
    MISSING_IMAGE,
    OBJECT,
    SERVICE,
    Operators,
    batch_size,
    cannot_be_pulled,
    instance_of,
    patch_size,
    service,
    stored,
)

pytestmark = pytest.mark.usefixtures("alone")


async def test_a_service_gets_its_objects_and_then_nothing_more_is_asked_or_written(
    namespace: Kubectl, operators: Operators
) -> None:
    namespace.apply(service())
    operator = operators()
    await operator.reconcile()
    owner = namespace.get(SERVICE, "lobby")["metadata"]["uid"]
    for kind in ("deployment", "configmap", "service"):
        (reference,) = namespace.get(kind, OBJECT)["metadata"]["ownerReferences"]
        assert (reference["uid"], reference["controller"]) == (owner, True)
    assert (stored(namespace).generation, stored(namespace).instance_uid, batch_size(stored(namespace))) == (
        1,
        owner,
        4,
    )
    assert operator.writes() == {
        "create configmaps": 1,
        "patch services": 1,
        "patch deployments": 1,
        "patch inferenceservices/status": 1,
    }
    await operator.settle("the image to be refused", cannot_be_pulled)
    until("kubelet's first news", lambda: namespace.get("pods")["items"][0]["status"].get("containerStatuses"))
    await operator.reconcile()
    before = operator.counted()
    for _ in range(20):
        await operator.reconcile_untold()
    assert operator.counted() == before


async def test_an_operator_that_starts_anew_finds_everything_as_it_was(
    namespace: Kubectl, operators: Operators
) -> None:
    namespace.apply(service())
    await operators().settle("the image", cannot_be_pulled)
    await operators().reconcile()
    another = operators()
    await another.reconcile()
    assert another.writes() == {}
    assert instance_of(await another.look()).current


async def test_another_image_replaces_the_pod_and_another_batch_does_not(
    namespace: Kubectl, operators: Operators
) -> None:
    namespace.apply(service())
    operator = operators()
    await operator.reconcile()
    template = namespace.get("deployment", OBJECT)["spec"]["template"]
    patch_size(namespace, 8)
    await operator.reconcile()
    assert (stored(namespace).generation, batch_size(stored(namespace))) == (2, 8)
    assert namespace.get("deployment", OBJECT)["spec"]["template"] == template
    upgraded = operators(image=f"{MISSING_IMAGE}0")
    assert not instance_of(await upgraded.look()).current
    await upgraded.reconcile()
    assert namespace.get("deployment", OBJECT)["spec"]["template"] != template
    assert stored(namespace).generation == 2


async def test_what_the_template_does_not_say_any_more_is_gone(namespace: Kubectl, operators: Operators) -> None:
    namespace.apply(service(template={"env": [{"name": "EXTRA", "value": "1"}], "nodeSelector": {"a": "b"}}))
    operator = operators()
    await operator.reconcile()
    assert "EXTRA" in str(namespace.get("deployment", OBJECT)["spec"])
    namespace("patch", SERVICE, "lobby", "--type=merge", "-p", json.dumps({"spec": {"template": None}}))
    await operator.reconcile()
    spec = namespace.get("deployment", OBJECT)["spec"]
    assert "EXTRA" not in str(spec)
    assert "nodeSelector" not in spec["template"]["spec"]


@pytest.mark.parametrize("kind", ["deployment", "service", "configmap"])
async def test_an_object_that_somebody_deleted_comes_back(namespace: Kubectl, operators: Operators, kind: str) -> None:
    namespace.apply(service())
    operator = operators()
    await operator.reconcile()
    await operator.look()
    namespace("delete", kind, OBJECT, "--wait")
    await operator.settle("it to be back", lambda _: namespace.find(kind, OBJECT) is not None)


async def test_a_damaged_or_edited_desired_state_is_written_again(namespace: Kubectl, operators: Operators) -> None:
    namespace.apply(service())
    operator = operators()
    await operator.reconcile()
    good = stored(namespace)
    edited = good.to_json().replace('"size": 4', '"size": 64')
    for content in ("{", edited):
        patch = json.dumps({"data": {"desired.json": content}})
        namespace("patch", "configmap", OBJECT, "--type=merge", "-p", patch)
        await operator.reconcile()
        assert batch_size(stored(namespace)) == 4
    assert stored(namespace).generation == 2


async def test_of_two_operators_that_write_at_once_one_fails_and_looks_again(
    namespace: Kubectl, operators: Operators
) -> None:
    namespace.apply(service())
    one, other = operators(), operators()
    first, second = await one.wanted(), await other.wanted()
    await one.cluster.apply(first)
    with pytest.raises(ClusterError, match="409"):
        await other.cluster.apply(second)
    patch_size(namespace, 8)
    first, second = await one.wanted(), await other.wanted()
    await other.cluster.apply(second)
    with pytest.raises(ClusterError, match="409"):
        await one.cluster.apply(first)
    # Without being told of anything: it doubts what it held to be true.
    assert instance_of(await one.cluster.observe()).desired == stored(namespace)
    assert stored(namespace).generation == 2


async def test_a_service_that_is_declared_again_waits_for_the_end_of_the_one_before(
    namespace: Kubectl, operators: Operators
) -> None:
    namespace.apply(service())
    operator = operators()
    await operator.reconcile()
    earlier = namespace.get(SERVICE, "lobby")["metadata"]["uid"]
    # A finalizer keeps what belongs to the earlier one.
    hold = json.dumps({"metadata": {"finalizers": ["example.com/hold"]}})
    namespace("patch", "configmap", OBJECT, "--type=merge", "-p", hold)
    namespace("delete", SERVICE, "lobby")
    namespace.apply(service())
    until("the collector", lambda: "deletionTimestamp" in namespace.get("configmap", OBJECT)["metadata"])
    memory = await operator.reconcile()
    assert "still ending" in str(memory.failures)
    assert stored(namespace).instance_uid == earlier
    namespace("patch", "configmap", OBJECT, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}}))
    await operator.settle("the new one", lambda snapshot: any(each.current for each in snapshot.instances))
    assert stored(namespace).instance_uid == namespace.get(SERVICE, "lobby")["metadata"]["uid"] != earlier
    assert stored(namespace).generation == 1


async def test_what_nobody_declares_is_removed(namespace: Kubectl, operators: Operators) -> None:
    namespace.apply(service(), service("hall"))
    operator = operators()
    await operator.reconcile()
    # The collector leaves these alone: they are made orphans.
    namespace("delete", SERVICE, "lobby", "--cascade=orphan")
    await operator.reconcile()
    await operator.settle("its end", lambda snapshot: len(snapshot.instances) == 1)
    for kind in ("deployment", "configmap", "service"):
        until(f"the {kind} to go", lambda kind=kind: namespace.find(kind, OBJECT) is None)
        assert namespace.find(kind, "framepilot-hall") is not None
    await operator.cluster.apply(RemoveInstance(Owner.service(f"{namespace.namespace}/lobby")))


async def test_what_somebody_else_calls_by_the_same_name_is_left_alone(
    namespace: Kubectl, operators: Operators
) -> None:
    network = {"selector": {"app": "theirs"}, "ports": [{"name": "http", "port": 80}]}
    namespace.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": OBJECT}, "spec": network},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "framepilot-hall"}, "data": {"a": "b"}},
    )
    before = (namespace.get("service", OBJECT), namespace.get("configmap", "framepilot-hall"))
    namespace.apply(service(), service("hall"))
    memory = await operators().reconcile()
    for name in ("lobby", "hall"):
        assert "rename it, or the service" in memory.failures[f"{namespace.namespace}/{name}"]
    assert (namespace.get("service", OBJECT), namespace.get("configmap", "framepilot-hall")) == before
