"""What goes wrong on a cluster: things are killed, restarted, doubled and deleted, and everything converges."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.cluster import components
from support.kubectl import Kubectl, until
from support.operator_release import OperatorRelease
from support.site import KIND, Site

CROWD = 20
OWNED = "deployments,configmaps,services,pods"
IDLE_S = 120.0


def host_pids(container: str) -> list[int]:
    """The processes of a container, seen from the node, which is this machine."""
    identity = container.rpartition("/")[2]
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                groups = (folder / "cgroup").read_text(encoding="utf-8")
            except OSError:
                continue
            if identity in groups:
                found.append(int(folder.name))
    return found


def left_over(kubectl: Kubectl) -> list[str]:
    """Objects of instances that are still there, with those that are ending."""
    names = kubectl("get", OWNED, "--selector=app.kubernetes.io/managed-by=framepilot", "-o", "name")
    return names.split()


def api_writes(operator: OperatorRelease) -> dict[str, float]:
    """How often the operator wrote to the API server, by verb and kind."""
    text = operator.metrics()
    return {
        " ".join(sample.labels[key] for key in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "framepilot_operator_api_requests_total"
        and sample.labels["verb"] not in {"get", "list", "watch"}
    }


def test_a_deleted_pod_comes_back_in_the_right_state(site: Site) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 2})
    site.wait_ready("lobby")
    site.patch_batch("lobby", 3)
    site.patch_version("lobby", "2")
    until("version 2", lambda: site.serving("lobby") == ("2", 3))
    name = site.pod("lobby")["metadata"]["name"]
    site.kubectl("delete", "pod", name)
    until("a new pod", lambda: site.pod("lobby")["metadata"]["name"] != name)
    until("version 2 in it", lambda: site.serving("lobby") == ("2", 3))
    # It ended gracefully: what was in flight was delivered.
    assert site.ledger("lobby").whole


def test_a_killed_container_comes_back_with_its_last_version_in_the_middle_of_a_rollout(site: Site) -> None:
    site.declare("lobby")
    site.wait_ready("lobby")
    site.patch_version("lobby", "2")
    container, restarts = site.container("lobby")
    for pid in host_pids(container):
        os.kill(pid, signal.SIGKILL)
    until("a restart", lambda: site.container("lobby")[1] == restarts + 1)
    site.wait_ready("lobby")
    until("version 2", lambda: site.module("lobby").get("serving") == "2")


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
    assert site.ledger("lobby").whole


def test_of_two_operators_one_works_and_the_other_takes_over(site: Site, operator: OperatorRelease) -> None:
    operator.scale(2)
    try:
        site.declare("lobby", batching={"mode": "Fixed", "size": 2})
        site.wait_ready("lobby")
        leader = until("a leader", operator.leader)
        operator.system("delete", "pod", leader, "--grace-period=0", "--force")
        until("another leader", lambda: operator.leader() not in {None, leader})
        site.patch_batch("lobby", 6)
        until("batch 6", lambda: site.serving("lobby") == ("1", 6))
        assert site.ledger("lobby").whole
    finally:
        operator.scale(1)


def test_a_service_that_is_deleted_and_created_again_in_the_middle_of_a_rollout_starts_anew(site: Site) -> None:
    site.declare("lobby")
    site.wait_ready("lobby")
    site.patch_version("lobby", "2")
    first = site.pod("lobby")["metadata"]["uid"]
    site.kubectl("delete", KIND, "lobby", "--wait=false")
    until("it to be gone", lambda: site.kubectl.find(KIND, "lobby") is None)
    site.declare("lobby")
    until("another pod", lambda: site.pod("lobby")["metadata"]["uid"] != first)
    site.wait_ready("lobby")
    assert site.serving("lobby")[0] == "1"
    assert site.observed("lobby")["instanceUid"] == site.kubectl.get(KIND, "lobby")["metadata"]["uid"]


def test_many_services_are_created_and_deleted_at_once_and_nothing_is_left_over(site: Site) -> None:
    names = [f"camera-{number}" for number in range(CROWD)]
    # Pods that cannot be scheduled: what is tested is the objects, not the machine.
    template = site.service("camera")["spec"]["template"] | {"nodeSelector": {"nowhere": "at-all"}}
    started_at = time.monotonic()
    site.kubectl.apply(*(site.service(name, template=template) for name in names))
    until(f"{CROWD} Deployments", lambda: len(site.kubectl.get("deployments")["items"]) == CROWD)
    print(f"{CROWD} services: Deployments after {time.monotonic() - started_at:.1f} s")
    until(
        "each to say why it is not ready",
        lambda: all(
            "nodes are available" in site.kubectl.condition(KIND, name, "Ready").get("message", "") for name in names
        ),
    )
    site.kubectl("delete", KIND, "--all", "--wait=false")
    until("nothing to be left over", lambda: not left_over(site.kubectl))


def test_an_idle_operator_writes_nothing_and_a_change_costs_few_writes(site: Site, operator: OperatorRelease) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 2})
    site.wait_ready("lobby")
    until("results", lambda: site.ledger("lobby").arrived > 20)
    time.sleep(10)
    before = api_writes(operator)
    time.sleep(IDLE_S)
    idle = api_writes(operator)
    site.patch_batch("lobby", 7)
    until("batch 7", lambda: site.module("lobby")["batch"] == 7)
    site.wait_ready("lobby")
    after = api_writes(operator)
    change = {key: value - idle.get(key, 0) for key, value in after.items() if value != idle.get(key, 0)}
    print(f"writes of one change of the batch size: {change}")
    leases = {key for key in before if "leases" in key}
    assert {k: v for k, v in idle.items() if k not in leases} == {k: v for k, v in before.items() if k not in leases}
    assert sum(change.values()) <= 6, change
