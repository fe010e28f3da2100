"""What goes wrong on a cluster: things are killed, restarted, doubled and deleted, and everything converges."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from support.cluster import components
from support.kubectl import Kubectl, until
from support.operator_release import OperatorRelease
from support.site import KIND, OWNED, Site
from support.web_store import WebStore

CROWD = 20


def delete_pod(site: Site, name: str) -> None:
    """Delete it, and wait for the next one."""
    pod = site.pod(name)["metadata"]["name"]
    site.kubectl("delete", "pod", pod, "--wait=false")
    until("a new pod", lambda: site.pod(name)["metadata"]["name"] != pod)


def kill_container(site: Site, name: str) -> None:
    """Kill its processes, and wait until kubelet has started it again."""
    _, restarts = site.container(name)
    site.kill_container(name)
    until("a restart", lambda: site.container(name)[1] == restarts + 1)


def left_over(kubectl: Kubectl) -> list[str]:
    """Objects of instances that are still there, with those that are ending."""
    names = kubectl("get", OWNED, "--selector=app.kubernetes.io/managed-by=framepilot", "-o", "name")
    return names.split()


def test_a_deleted_pod_delivers_what_is_in_flight_and_comes_back_in_the_right_state(site: Site) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 2})
    site.wait_ready("lobby")
    site.patch_batch("lobby", 3)
    site.patch_version("lobby", "2")
    until("version 2", lambda: site.serving("lobby") == ("2", 3))
    delete_pod(site, "lobby")
    until("version 2 in it", lambda: site.serving("lobby") == ("2", 3))
    ledger = site.ledger_beyond_now("lobby")
    assert ledger.whole
    assert ledger.epochs == 2


@pytest.mark.parametrize("end", [delete_pod, kill_container])
def test_an_instance_that_ends_in_the_middle_of_a_rollout_starts_with_the_version_that_served(
    site: Site, slow_store: WebStore, end: Callable[[Site, str], None]
) -> None:
    site.declare("lobby", models={"store": slow_store.url})
    site.wait_ready("lobby")
    site.patch_version("lobby", "2")
    until("the rollout to be under way", lambda: site.rollout("lobby") == ("2", "Fetching"))
    end(site, "lobby")
    until("the version that served", lambda: site.serving("lobby")[0] == "1")
    until("the rollout to be under way again", lambda: site.rollout("lobby") == ("2", "Fetching"))
    until("results", lambda: site.ledger("lobby").epochs == 2)
    assert site.serving("lobby")[0] == "1"
    slow_store.released.set()
    until("version 2", lambda: site.module("lobby").get("serving") == "2")
    site.wait_ready("lobby")


@pytest.mark.parametrize("component", ["kubelet", "kube-apiserver"])
def test_a_restarted_component_leaves_instances_alone_and_changes_go_on(site: Site, component: str) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 2})
    site.wait_ready("lobby")
    before = site.container("lobby")
    components.restart(component)
    until("the API server", lambda: site.kubectl("get", "--raw", "/readyz") == "ok")
    until("a patch to be taken", lambda: site.patch_batch("lobby", 5) is None)
    until("batch 5", lambda: site.serving("lobby") == ("1", 5))
    assert site.container("lobby") == before
    ledger = site.ledger_beyond_now("lobby")
    assert ledger.whole
    assert ledger.epochs == 1


def test_of_two_operators_one_works_and_the_other_takes_over(site: Site, operator: OperatorRelease) -> None:
    operator.scale(2)
    try:
        site.declare("lobby", batching={"mode": "Fixed", "size": 2})
        site.wait_ready("lobby")
        before = site.container("lobby")
        leader = until("a leader", operator.leader)
        killed_at = time.monotonic()
        operator.system("delete", "pod", leader, "--grace-period=0", "--force")
        until("another leader", lambda: operator.leader() not in {None, leader})
        print(f"killed, replaced after {time.monotonic() - killed_at:.1f} s")
        site.patch_batch("lobby", 6)
        until("batch 6", lambda: site.serving("lobby") == ("1", 6))
        assert site.container("lobby") == before
        assert site.ledger_beyond_now("lobby").whole
    finally:
        operator.scale(1)


def test_a_service_that_is_deleted_and_created_again_in_the_middle_of_a_rollout_starts_anew(
    site: Site, slow_store: WebStore
) -> None:
    site.declare("lobby", models={"store": slow_store.url})
    site.wait_ready("lobby")
    site.patch_version("lobby", "2")
    until("the rollout to be under way", lambda: site.rollout("lobby") == ("2", "Fetching"))
    first = site.kubectl.get(KIND, "lobby")["metadata"]["uid"]
    site.kubectl("delete", KIND, "lobby", "--wait=false")
    until("it to be gone", lambda: site.kubectl.find(KIND, "lobby") is None)
    site.declare("lobby", models={"store": slow_store.url})
    second = site.kubectl.get(KIND, "lobby")["metadata"]["uid"]
    until("its own instance", lambda: site.observed("lobby")["instanceUid"] == second != first)
    site.wait_ready("lobby")
    assert site.serving("lobby")[0] == "1"
    # A service that never had a version 2 has none to come back to.
    assert site.desired("lobby")["pipelines"][0]["modules"][0]["attempt"] == 1
    for each in ("deployment", "configmap", "service"):
        assert site.kubectl.get(each, "framepilot-lobby")["metadata"]["ownerReferences"][0]["uid"] == second
    site.kubectl("delete", KIND, "lobby")
    until("nothing to be left over", lambda: not left_over(site.kubectl))


def test_many_services_are_created_and_deleted_at_once_and_nothing_is_left_over(
    site: Site, operator: OperatorRelease
) -> None:
    names = [f"camera-{number}" for number in range(CROWD)]
    # Pods that cannot be scheduled: what is tested is the objects, not the machine.
    template = site.service("camera")["spec"]["template"] | {"nodeSelector": {"nowhere": "at-all"}}
    crowd = [site.service(name, template=template) for name in names]
    # Gone again before all of them can have been looked at.
    site.kubectl.apply(*crowd)
    site.kubectl("delete", KIND, "--all", "--wait=false")
    until("nothing to be left over of the first crowd", lambda: not left_over(site.kubectl))
    before = operator.api_writes()
    started_at = time.monotonic()
    site.kubectl.apply(*crowd)
    until(f"{CROWD} Deployments", lambda: len(site.kubectl.get("deployments")["items"]) == CROWD)
    print(f"{CROWD} services: Deployments after {time.monotonic() - started_at:.1f} s")
    until("each to say why it is not ready", lambda: all("no node takes its pod" in each for each in reasons(site)))
    print(f"writes for all of them: {operator.api_writes() - before}")
    site.kubectl("delete", KIND, "--all", "--wait=false")
    until("nothing to be left over", lambda: not left_over(site.kubectl))


def reasons(site: Site) -> list[str]:
    """Why services are not ready; nothing of a service that does not say."""
    found = [
        condition["message"]
        for service in site.kubectl.get(KIND)["items"]
        for condition in service.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready"
    ]
    assert len(found) <= CROWD
    return found if len(found) == CROWD else [""]
