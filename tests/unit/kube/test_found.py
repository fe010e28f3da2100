"""An instance as it is found: objects and pods that belong together, and those of an earlier service of the name."""

from __future__ import annotations

from typing import Any

import pytest

from framepilot_operator.cluster.kube_instance import Found, read_config_map
from framepilot_operator.cluster.kube_instance import found as put_together
from framepilot_operator.cluster.kube_polling import Heard
from framepilot_operator.manifests.names import FINGERPRINT, GENERATION, OWNER_UID, labels
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.manifests.seen import SeenDeployment, SeenNode, SeenPod, SeenService
from support.snapshots import desired, observed

LOBBY = Owner.service("cameras/lobby")
KEY = "cameras/framepilot-lobby"
HASH = "0123456789abcdef"
RUNNING = {"phase": "Running", "podIP": "10.0.0.7", "containerStatuses": [{"name": "app", "state": {"running": {}}}]}


def meta(owner: str | None = "u", *, ending: bool = False, **more: Any) -> dict[str, Any]:
    return {
        "name": "framepilot-lobby",
        "namespace": "cameras",
        "uid": "o",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": labels(LOBBY),
        **({"ownerReferences": [{"uid": owner, "controller": True}]} if owner else {}),
        **({"deletionTimestamp": "2026-01-02T00:00:00Z"} if ending else {}),
        **more,
    }


def config_map(generation: int = 1, **metadata: Any) -> dict[str, Any]:
    return {"metadata": meta(**metadata), "data": {"desired.json": desired(generation).to_json()}}


def deployment(fingerprint: str = HASH, **metadata: Any) -> dict[str, Any]:
    return {"metadata": meta(**metadata, annotations={FINGERPRINT: fingerprint})}


def pod(
    owner: str = "u", status: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    annotations = {OWNER_UID: owner, **metadata.pop("annotations", {})}
    metadata = meta(None, **{"uid": "p", **metadata}, annotations=annotations)
    return {"metadata": metadata, "spec": spec or {}, "status": status or RUNNING}


def found(
    config: dict[str, Any] | None = None,
    workload: dict[str, Any] | None = None,
    network: dict[str, Any] | None = None,
    pods: tuple[dict[str, Any], ...] = (),
) -> Found:
    return put_together(
        LOBBY,
        {KEY: read_config_map(config)} if config else {},
        {KEY: SeenDeployment.model_validate(workload)} if workload else {},
        {KEY: SeenService.model_validate(network)} if network else {},
        [SeenPod.model_validate(each) for each in pods],
    )


def whole(*pods: dict[str, Any]) -> Found:
    return found(config_map(3), deployment(), {"metadata": meta()}, pods or (pod(),))


def test_an_instance_is_what_belongs_to_its_service() -> None:
    instance = whole().instance("u", HASH, Heard(observed(3), 1.5))
    assert instance is not None
    assert (instance.owner, instance.uid) == (LOBBY, "u")
    assert instance.desired == desired(3)
    assert (instance.running, instance.observed, instance.observed_at) == (True, observed(3), 1.5)
    assert instance.current


def test_nothing_at_all_is_no_instance() -> None:
    assert Found(LOBBY).instance("u", HASH, Heard()) is None
    assert Found(LOBBY).leftover() is None
    assert Found(LOBBY).ending("u") is None


@pytest.mark.parametrize(
    "there",
    [
        found(config_map(), deployment("another"), {"metadata": meta()}, (pod(),)),
        found(config_map(), None, {"metadata": meta()}, (pod(),)),
        found(config_map(), deployment(), None, (pod(),)),
    ],
    ids=["written from something else", "no Deployment", "no Service"],
)
def test_an_instance_whose_workload_is_not_as_declared_is_not_current(there: Found) -> None:
    instance = there.instance("u", HASH, Heard())
    assert instance is not None
    assert not instance.current


def test_a_damaged_config_map_is_as_good_as_none() -> None:
    damaged = config_map()
    damaged["data"]["desired.json"] = "{"
    instance = found(damaged, deployment(), {"metadata": meta()}).instance("u", HASH, Heard())
    assert instance is not None
    assert instance.desired is None


@pytest.mark.parametrize(
    "there",
    [
        found(config_map(owner="earlier")),
        found(config_map(), deployment(owner="earlier")),
        found(config_map(), deployment(), {"metadata": meta("earlier")}),
        found(pods=(pod("earlier"),)),
        found(config_map(ending=True)),
        found(config_map(owner=None)),
    ],
    ids=["ConfigMap", "Deployment", "Service", "only a pod", "being deleted", "owned by nobody"],
)
def test_what_is_of_an_earlier_service_or_is_being_deleted_is_still_ending(there: Found) -> None:
    assert there.ending("u") is not None
    assert there.instance("u", HASH, Heard()) is None


def test_a_pod_that_is_replaced_is_no_instance_that_ends() -> None:
    there = whole(pod(ending=True))
    assert there.ending("u") is None
    instance = there.instance("u", HASH, Heard(observed(3), 1))
    assert instance is not None
    assert (instance.running, instance.observed) == (False, None)
    assert "ending" in str(instance.reason)


def test_of_two_pods_the_one_that_stays_counts() -> None:
    old = pod(uid="old", ending=True)
    new = pod(uid="new", creationTimestamp="2026-01-01T00:00:05Z", status={"phase": "Pending"})
    for pods in ((old, new), (new, old)):
        chosen = whole(*pods).pod("u")
        assert chosen is not None
        assert chosen.metadata.uid == "new"


def test_what_nobody_declares_is_left_over_until_it_is_ending() -> None:
    leftover = found(config_map(ending=True), deployment()).leftover()
    assert leftover is not None
    assert leftover.owner == LOBBY
    assert found(config_map(ending=True), deployment(ending=True), None, (pod(),)).leftover() is None


def test_the_next_generation_is_higher_than_any_that_was_ever_seen() -> None:
    assert whole().known_generation(Heard(), "u") == 3
    assert whole().known_generation(Heard(observed(9)), "u") == 9
    assert whole().known_generation(Heard(observed(9)), "another") == 3
    told = pod(annotations={GENERATION: "7"})
    assert found(pods=(told,)).known_generation(Heard(), "u") == 7


def test_a_process_that_is_started_again_is_another_one_to_ask() -> None:
    again = {**RUNNING, "containerStatuses": [{"name": "app", "restartCount": 1, "state": {"running": {}}}]}
    first, second = (whole(pod(status=status)).target("u") for status in (RUNNING, again))
    assert first is not None
    assert second is not None
    assert first[0] != second[0]
    assert first[1].address == "10.0.0.7:8080"
    assert first[1].generation == 3


@pytest.mark.parametrize("status", [{"phase": "Pending"}, {**RUNNING, "podIP": None}])
def test_what_does_not_run_is_not_asked(status: dict[str, Any]) -> None:
    assert whole(pod(status=status)).target("u") is None


def test_an_address_of_ipv6_is_put_in_brackets() -> None:
    target = whole(pod(status={**RUNNING, "podIP": "fd00::7"})).target("u")
    assert target is not None
    assert target[1].address == "[fd00::7]:8080"


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (found(config_map()), "container is being created"),
        (found(config_map(), deployment()), "container is being created"),
        (
            found(
                config_map(),
                deployment()
                | {
                    "status": {
                        "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]
                    }
                },
            ),
            "exceeded quota",
        ),
    ],
)
def test_an_instance_without_a_pod_says_why(there: Found, said: str) -> None:
    instance = there.instance("u", HASH, Heard())
    assert instance is not None
    assert said in str(instance.reason)


def test_a_process_that_does_not_answer_says_so_once_it_has_started() -> None:
    started = {**RUNNING, "containerStatuses": [{"name": "app", "started": True, "state": {"running": {}}}]}
    silent = Heard(silence="no answer")
    reasons = [
        (instance := whole(pod(status=status)).instance("u", HASH, heard)) and instance.reason
        for status, heard in (
            (RUNNING, Heard()),
            (RUNNING, silent),
            (started, silent),
            (started, Heard(observed(3), 1)),
        )
    ]
    assert reasons == ["it is starting", "it is starting", "no answer", None]


def test_an_instance_says_which_devices_it_takes_and_whether_it_got_them() -> None:
    limits = {"memory": "4Gi", "nvidia.com/gpu": "1"}
    containers = [{"name": "app", "resources": {"limits": limits}}]
    pending = pod(status={"phase": "Pending"}, spec={"containers": containers})
    scheduled = pod(spec={"containers": containers, "nodeName": "edge-1"})
    for each, has_node in ((pending, False), (scheduled, True)):
        instance = whole(each).instance("u", HASH, Heard())
        assert instance is not None
        assert (instance.devices, instance.has_node) == ({"nvidia.com/gpu": 1}, has_node)


def test_the_devices_of_a_node_are_counted_and_its_cores_are_not() -> None:
    metadata = {"name": "edge-1", "uid": "n", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    allocatable = {"cpu": "2", "memory": "24Gi", "nvidia.com/gpu": "4", "hugepages-2Mi": "0"}
    node = SeenNode.model_validate({"metadata": metadata, "status": {"allocatable": allocatable}})
    assert node.devices == {"nvidia.com/gpu": 4}
    assert node.metadata.key == "/edge-1"
