"""What is said of a service that cannot run, or not as declared: words that a person can act on, once."""

from __future__ import annotations

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from framepilot_operator.cluster.port import ClusterError, WriteDesired
from support.kubectl import Kubectl
from support.port_operator import (
    MISSING_IMAGE,
    OBJECT,
    SERVICE,
    Operators,
    PortOperator,
    cannot_be_pulled,
    connected,
    instance_of,
    service,
    stored,
)

pytestmark = pytest.mark.usefixtures("alone")


def told(kubectl: Kubectl) -> list[tuple[str, str]]:
    """Type and reason of each Event about the service."""
    return [(each["type"], each["reason"]) for each in kubectl.events("InferenceService", "lobby")]


async def test_its_status_says_what_a_person_can_act_on(namespace: Kubectl, operators: Operators) -> None:
    namespace.apply(service())
    operator = operators()
    await operator.settle("the image to be refused", cannot_be_pulled)
    await operator.reconcile()
    said = namespace.condition(SERVICE, "lobby", "Ready")
    assert (said["status"], said["observedGeneration"]) == ("False", 1)
    assert f"the image {MISSING_IMAGE} cannot be pulled" in said["message"]


async def test_an_instance_that_no_node_takes_says_so(namespace: Kubectl, operators: Operators) -> None:
    template = {"resources": {"limits": {"example.com/no-such-device": 1}}}
    namespace.apply(service(template=template, placement={"isolated": True}))
    operator = operators()
    await operator.settle("the scheduler", lambda snapshot: "no node takes" in str(instance_of(snapshot).reason))
    assert "Insufficient example.com/no-such-device" in str(instance_of(await operator.look()).reason)


async def test_a_desired_state_that_no_config_map_holds_is_refused_in_words(
    namespace: Kubectl, operators: Operators
) -> None:
    namespace.apply(service())
    operator = operators()
    change = await operator.wanted()
    (pipeline,) = change.document.pipelines
    (stream,) = pipeline.streams
    many = tuple(stream.model_copy(update={"name": f"s{number}"}) for number in range(10_000))
    large = change.document.model_copy(update={"pipelines": (pipeline.model_copy(update={"streams": many}),)})
    with pytest.raises(ClusterError, match="a ConfigMap holds 1048576; declare fewer streams"):
        await operator.cluster.apply(WriteDesired(change.owner, large))
    assert namespace.find("configmap", OBJECT) is None


async def test_a_declaration_that_makes_no_sense_here_is_told_and_what_runs_goes_on(
    namespace: Kubectl, operators: Operators
) -> None:
    namespace.apply(service())
    operator = operators()
    await operator.reconcile()
    namespace.apply(service(models={"store": "file:models"}))
    snapshot = await operator.look()
    (problem,) = snapshot.problems
    assert problem.service == f"{namespace.namespace}/lobby"
    assert "spec.models.store" in problem.message
    await operator.reconcile()
    assert stored(namespace).generation == 1
    assert namespace.find("deployment", OBJECT) is not None
    stalled = namespace.condition(SERVICE, "lobby", "Stalled")
    assert (stalled["status"], stalled["reason"], stalled["observedGeneration"]) == ("True", "InvalidDeclaration", 2)
    assert ("Warning", "InvalidDeclaration") in told(namespace)
    before = operator.writes()
    await operators().reconcile()
    await operator.reconcile()
    assert operator.writes() == before
    namespace.apply(service())
    await operator.reconcile()
    assert namespace.condition(SERVICE, "lobby", "Stalled")["status"] == "False"


async def test_an_event_is_written_once_for_what_a_person_must_act_on(namespace: Kubectl, operators: Operators) -> None:
    namespace.apply(service(models={"store": "file:models"}))
    for _ in range(3):
        await operators().reconcile()
    assert told(namespace) == [("Warning", "InvalidDeclaration")]


async def test_an_account_that_may_not_is_told_which_rule_is_missing(kubectl: Kubectl, namespace: Kubectl) -> None:
    async with await connected(kubectl.kubeconfig, "nobody-in-particular") as client:
        cluster = PortOperator.made(namespace, client).cluster
        with pytest.raises(ClusterError, match=r"403.*cannot list resource.*lacks this rule"):
            await cluster.observe()
        await cluster.close()


async def test_an_api_server_that_is_away_is_said_to_be_away(namespace: Kubectl) -> None:
    async with ApiClient(Configuration(host="http://127.0.0.1:9")) as client:
        cluster = PortOperator.made(namespace, client).cluster
        with pytest.raises(ClusterError, match="the API server does not answer"):
            await cluster.observe()
        await cluster.close()
