"""Services that share a pod: because they ask for the same device, or because they name the same runtime.

The device is an extended resource that is written into the node's status: the scheduler treats it as one that a device
plugin offers, and no container can tell.
https://kubernetes.io/docs/tasks/administer-cluster/extended-resource-node/
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from support.kubectl import Kubectl, until
from support.site import KIND, Site

RUNTIMES = "inferenceruntimes.framepilot.dev"
EVERYTHING = f"{RUNTIMES},deployments,configmaps,services,pods"
OURS = "--selector=app.kubernetes.io/managed-by=framepilot"


@pytest.fixture
def device(kubectl: Kubectl) -> Iterator[str]:
    """The name of a device of which the node has one; no other test has it."""
    name = f"example.com/gpu-{uuid.uuid4().hex[:8]}"
    (node,) = (each["metadata"]["name"] for each in kubectl.get("nodes")["items"])
    path = f"/status/capacity/{name.replace('/', '~1')}"

    def patch(**operation: str) -> None:
        operations = json.dumps([{"path": path, **operation}])
        kubectl("patch", "node", node, "--subresource=status", "--type=json", f"--patch={operations}")

    patch(op="add", value="1")
    until("the node to offer the device", lambda: kubectl.get("node", node)["status"]["allocatable"].get(name) == "1")
    yield name
    patch(op="remove")


def wanting(site: Site, device: str) -> dict[str, Any]:
    """The template of the site's services, with a device."""
    return site.service("any")["spec"]["template"] | {"resources": {"limits": {device: 1}}}


def the_pod(site: Site) -> dict[str, Any]:
    """The only pod of the namespace, its ending predecessors apart."""
    (pod,) = (each for each in site.kubectl.get("pods")["items"] if "deletionTimestamp" not in each["metadata"])
    return pod


def container(site: Site) -> tuple[str, int]:
    (status,) = the_pod(site)["status"]["containerStatuses"]
    return status["containerID"], status["restartCount"]


def feasible(site: Site, name: str) -> tuple[str, str, str]:
    found = site.kubectl.condition(KIND, name, "Feasible")
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


def everything(site: Site) -> list[str]:
    return site.kubectl("get", EVERYTHING, OURS, "-o", "name").split()


def test_two_services_share_the_instance_that_has_the_device_and_each_changes_by_itself(
    site: Site, device: str
) -> None:
    template = wanting(site, device)
    fixed = {"mode": "Fixed", "size": 2}
    site.declare("lobby", template=template, batching=fixed)
    site.wait_ready("lobby")
    before = container(site)
    site.declare("yard", template=template, batching=fixed)
    site.wait_ready("yard")
    until("results of both", lambda: min(site.ledger(name).arrived for name in ("lobby", "yard")) > 20)
    (runtime,) = site.kubectl.get(RUNTIMES)["items"]
    assert runtime["status"]["services"] == ["lobby", "yard"]
    for name in ("lobby", "yard"):
        assert site.kubectl.get(KIND, name)["status"]["instances"] == [runtime["metadata"]["name"]]
        assert feasible(site, name)[0] == "True"

    site.patch_batch("yard", 5)
    site.patch_version("yard", "2")
    until("yard to change", lambda: site.module("yard").items() >= {"batch": 5, "serving": "2"}.items())
    site.patch_version("yard", "tampered")
    until("the refusal", lambda: site.module("yard").get("refused") == "tampered")
    assert (site.module("lobby")["batch"], site.module("lobby")["serving"]) == (2, "1")
    assert site.kubectl.condition(KIND, "lobby", "ModelsReady")["status"] == "True"

    site.kubectl("delete", KIND, "yard", "--wait=false")
    until("yard to leave", lambda: site.kubectl.get(RUNTIMES)["items"][0]["status"]["services"] == ["lobby"])
    arrived = site.ledger("lobby").arrived
    until("more results of lobby", lambda: site.ledger("lobby").arrived > arrived + 20)
    # It came first, and neither the coming nor the changes nor the going of the other cost it a frame.
    assert container(site) == before
    assert site.ledger("lobby").whole
    assert site.ledger("yard").whole

    site.kubectl("delete", KIND, "lobby", "--wait=false")
    until("nothing to be left over", lambda: not everything(site))


def test_a_service_that_may_not_share_is_told_who_has_the_device_and_gets_it_when_that_goes(
    site: Site, device: str
) -> None:
    template = wanting(site, device)
    site.declare("lobby", template=template)
    site.wait_ready("lobby")
    site.declare("alone", template=template, placement={"isolated": True})
    until("it to be told", lambda: feasible(site, "alone")[1] == "NoDevice")
    status, _, message = feasible(site, "alone")
    assert status == "False"
    assert f"{device} is held by {site.kubectl.namespace}/lobby (1 of 1)" in message
    assert "share its instance" in message
    event = until(
        "an Event that says so",
        lambda: next(
            each for each in site.kubectl.get("events.events.k8s.io")["items"] if each["reason"] == "NoDevice"
        ),
    )
    assert (event["type"], event["regarding"]["name"]) == ("Warning", "alone")
    site.kubectl("delete", KIND, "lobby", "--wait=false")
    site.wait_ready("alone")
    until("its results", lambda: site.ledger("alone").arrived > 20)
    until("the plan", lambda: feasible(site, "alone")[0] == "True")


def test_a_device_that_no_node_has_is_named(site: Site) -> None:
    site.declare("lobby", template=wanting(site, "example.com/there-is-none"))
    until("it to be told", lambda: feasible(site, "lobby")[1] == "NoDevice")
    assert "no node offers example.com/there-is-none" in feasible(site, "lobby")[2]


def test_services_that_name_a_runtime_share_its_pod_and_one_that_is_declared_again_begins_anew(site: Site) -> None:
    template = site.service("any")["spec"]["template"]
    runtime = {
        "apiVersion": "framepilot.dev/v1alpha1",
        "kind": "InferenceRuntime",
        "metadata": {"name": "shared"},
        "spec": {"template": template},
    }

    def declare(name: str) -> None:
        document = site.service(name, placement={"runtimeRef": {"name": "shared"}})
        del document["spec"]["template"]
        site.kubectl.apply(document)

    declare("lobby")
    until(
        "it to be told that there is no runtime",
        lambda: site.kubectl.condition(KIND, "lobby", "Stalled").get("reason") == "RuntimeNotFound",
    )
    site.kubectl.apply(runtime)
    declare("yard")
    for name in ("lobby", "yard"):
        site.wait_ready(name)
    before = container(site)
    line = site.kubectl("get", RUNTIMES, "shared", "--no-headers").split()
    assert line[:3] == ["shared", "True", "Running"], line
    site.patch_version("yard", "2")
    until("version 2", lambda: site.module("yard").get("serving") == "2")
    site.kubectl("delete", KIND, "yard")
    declare("yard")
    site.wait_ready("yard")
    until("the first version", lambda: site.module("yard").get("serving") == "1")
    arrived = site.ledger("lobby").arrived
    until("more results of lobby", lambda: site.ledger("lobby").arrived > arrived + 20)
    assert container(site) == before
    assert site.ledger("lobby").whole
    site.kubectl("delete", RUNTIMES, "shared", "--wait=false")
    for name in ("lobby", "yard"):
        until(
            f"{name} to be told that it has no runtime",
            lambda name=name: site.kubectl.condition(KIND, name, "Ready").get("reason") == "NoInstance",
        )
    until("its objects to go", lambda: not everything(site))
