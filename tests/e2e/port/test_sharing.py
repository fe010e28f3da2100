"""What is written where services share an instance, and that it goes with the last of them without an operator."""

from __future__ import annotations

from typing import Any

import pytest

from support.kubectl import Kubectl, until
from support.port_operator import SERVICE, Operators, service, stored

pytestmark = pytest.mark.usefixtures("alone")

RUNTIMES = "inferenceruntimes.framepilot.dev"
WANTING = {"resources": {"limits": {"example.com/no-such-device": 1}}}


def runtimes(kubectl: Kubectl) -> list[dict[str, Any]]:
    return kubectl.get(RUNTIMES)["items"]


async def test_an_implicit_runtime_belongs_to_its_services_and_goes_with_the_last_of_them(
    namespace: Kubectl, operators: Operators
) -> None:
    namespace.apply(service(template=WANTING), service("hall", template=WANTING))
    operator = operators()
    await operator.settled()
    (runtime,) = runtimes(namespace)
    uids = {namespace.get(SERVICE, name)["metadata"]["uid"] for name in ("lobby", "hall")}
    assert {each["uid"] for each in runtime["metadata"]["ownerReferences"]} == uids
    assert not [each for each in runtime["metadata"]["ownerReferences"] if each.get("controller")]
    name = f"inference-runtime-{runtime['metadata']['name']}"
    for kind in ("deployment", "configmap", "service"):
        (reference,) = namespace.get(kind, name)["metadata"]["ownerReferences"]
        assert (reference["uid"], reference["controller"]) == (runtime["metadata"]["uid"], True)
    document = stored(namespace, name)
    assert document.instance_uid == runtime["metadata"]["uid"]
    assert {pipeline.uid for pipeline in document.pipelines} == uids
    assert runtime["status"]["services"] == ["hall", "lobby"]

    namespace("delete", SERVICE, "hall")
    await operator.settled()
    assert [pipeline.service for pipeline in stored(namespace, name).pipelines] == [f"{namespace.namespace}/lobby"]
    # From here on nobody reconciles.
    namespace("delete", SERVICE, "lobby")
    until("the runtime to go", lambda: not runtimes(namespace))
    for kind in ("deployment", "configmap", "service"):
        until(f"the {kind} to go", lambda kind=kind: namespace.find(kind, name) is None)


async def test_an_operator_that_starts_anew_finds_what_is_shared_as_it_was(
    namespace: Kubectl, operators: Operators
) -> None:
    namespace.apply(service(template=WANTING), service("hall", template=WANTING))
    await operators().settled()
    another = operators()
    await another.settled()
    assert another.writes() == {}


async def test_a_runtime_that_somebody_edits_or_deletes_is_as_before(namespace: Kubectl, operators: Operators) -> None:
    namespace.apply(service(template=WANTING))
    operator = operators()
    await operator.settled()
    (before,) = runtimes(namespace)
    name = before["metadata"]["name"]
    namespace("patch", RUNTIMES, name, "--type=merge", "-p", '{"spec": {"template": {"nodeSelector": {"a": "b"}}}}')
    await operator.settled()
    assert runtimes(namespace)[0]["spec"] == before["spec"]
    namespace("delete", RUNTIMES, name)
    await operator.settle("it to be there again", lambda _: any(each.get("status") for each in runtimes(namespace)))
    (after,) = runtimes(namespace)
    assert after["spec"] == before["spec"]
    await operator.settle("its instance", lambda snapshot: any(each.current for each in snapshot.instances))
    assert stored(namespace, f"inference-runtime-{name}").instance_uid == after["metadata"]["uid"]
