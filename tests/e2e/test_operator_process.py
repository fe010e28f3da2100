"""The operator as a process: who leads, who writes, what ends it. Several at once, on a real API server.

Each has the rights that the chart gives it in namespaced mode and nothing more, and reaches the API server through a
proxy of its own, so that it is known what it asked for. The image of the instances does not exist: what is applied is
all that matters here.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from framepilot_operator.kubernetes.handlers import WATCHED
from support.eventually import eventually
from support.kubectl import Kubectl, until
from support.operator_process import OperatorProcess, operator_process
from support.resources import service_document

KIND = "inferenceservices.framepilot.dev"
OBJECT = "framepilot-lobby"
IMAGE = "127.0.0.1:5000/framepilot-there-is-no-such-image"
KINDS = {each.plural for each in WATCHED if not each.whole_cluster}
"""What an operator of one namespace watches."""
Start = Callable[..., OperatorProcess]

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def start(kubectl: Kubectl, namespace: Kubectl, account: str, tmp_path: Path) -> Iterator[Start]:
    """Starts an operator with these rights; `tag` is that of the image that it gives to instances."""
    token = namespace("create", "token", account).strip()
    with ExitStack() as stack:

        def make(name: str, tag: str = "1", lease_s: int = 6) -> OperatorProcess:
            options = (
                f"--app-image={IMAGE}:{tag}",
                f"--namespace={namespace.namespace}",
                f"--lease-namespace={namespace.namespace}",
                f"--lease-seconds={lease_s}",
            )
            folder = tmp_path / name
            return stack.enter_context(operator_process(folder, kubectl.kubeconfig, token, *options))

        yield make


def declare(namespace: Kubectl) -> None:
    document = service_document()
    document["metadata"] = {"name": "lobby"}
    document["spec"]["streams"] = [{"name": "door", "source": "file:///videos/door.mp4"}]
    document["spec"]["sinks"] = [{"name": "events", "type": "stdout"}]
    namespace.apply(document)


def image(namespace: Kubectl) -> str | None:
    """That of the instance, once there is one."""
    found = namespace.find("deployment", OBJECT)
    return found and found["spec"]["template"]["spec"]["containers"][0]["image"].removeprefix(f"{IMAGE}:")


def version(namespace: Kubectl) -> str:
    return namespace.get("deployment", OBJECT)["metadata"]["resourceVersion"]


def leader_first(start: Start, **options: Any) -> tuple[OperatorProcess, OperatorProcess]:
    """One that leads, and one that waits for it; they give another image to instances."""
    first = start("first", "first", **options)
    eventually(lambda: first.leads, "the first to lead")
    second = start("second", "second", **options)
    eventually(lambda: second.get("/readyz")[0] == 200, "the second to wait")
    return first, second


def test_one_of_two_works_and_the_other_only_asks_for_the_lease(namespace: Kubectl, start: Start):
    _, second = leader_first(start)
    declare(namespace)
    until("an instance", lambda: image(namespace) == "first")
    until("a status", lambda: namespace.condition(KIND, "lobby", "Ready"))
    assert not second.leads
    assert second.get("/healthz") == (200, "ok")
    assert second.proxy.requests
    assert all(request.elects for request in second.proxy.requests)


def test_whoever_is_killed_is_replaced(namespace: Kubectl, start: Start):
    first, second = leader_first(start)
    declare(namespace)
    until("an instance", lambda: image(namespace) == "first")
    killed_at = time.monotonic()
    first.send(signal.SIGKILL)
    eventually(lambda: second.leads, "the second to lead")
    print(f"killed, with a lease of 6 s: replaced after {time.monotonic() - killed_at:.1f} s")
    until("the instance of the second", lambda: image(namespace) == "second")


def test_whoever_is_told_to_stop_gives_the_lease_back_first(namespace: Kubectl, start: Start):
    first, second = leader_first(start, lease_s=600)
    told_at = time.monotonic()
    first.send(signal.SIGTERM)
    assert first.ended() == 0
    print(f"told to stop: ended after {time.monotonic() - told_at:.1f} s", end=", ")
    eventually(lambda: first.said("the lease is given back"), "the last of its log")
    # Long before the lease would have ended by itself.
    eventually(lambda: second.leads, "the second to lead")
    print(f"replaced after {time.monotonic() - told_at:.1f} s")


def test_whoever_did_not_run_while_another_took_over_writes_nothing_any_more(namespace: Kubectl, start: Start):
    first, second = leader_first(start)
    # It is stopped while it waits for an answer, with the status still to be written: no write is on its way.
    first.proxy.hold_answers("/deployments")
    declare(namespace)
    eventually(first.proxy.holds, "the first to write an instance")
    first.send(signal.SIGSTOP)
    until("the instance of the second", lambda: image(namespace) == "second")
    eventually(lambda: second.leads, "the second to lead")
    written = len(first.proxy.writes())
    went_on_at = time.monotonic()
    first.proxy.release_answers()
    first.send(signal.SIGCONT)
    assert first.ended() == 1
    print(f"went on after the lease was another's: ended after {time.monotonic() - went_on_at:.1f} s")
    assert len(first.proxy.writes()) == written
    assert first.said("the lease")[-1].startswith("ending, because")
    assert image(namespace) == "second"
    assert second.leads


def test_an_api_server_that_is_away_for_a_moment_is_waited_for(namespace: Kubectl, start: Start):
    operator = start("first", lease_s=60)
    eventually(lambda: operator.leads, "it to lead")
    operator.proxy.go_away()
    eventually(lambda: operator.said("the lease cannot be asked for"), "it to notice")
    operator.proxy.come_back()
    declare(namespace)
    until("an instance", lambda: image(namespace) == "1")
    assert operator.leads


def test_an_api_server_that_is_away_for_long_ends_the_process_and_the_next_one_goes_on(
    namespace: Kubectl, start: Start
):
    operator = start("first")
    eventually(lambda: operator.leads, "it to lead")
    declare(namespace)
    until("an instance", lambda: image(namespace) == "1")
    operator.proxy.go_away()
    assert operator.ended() == 1
    assert operator.said("ending, because")
    before = version(namespace)
    again = start("again")
    eventually(lambda: again.leads, "the next one to lead")
    eventually(lambda: again.proxy.watched() == KINDS, "it to watch")
    namespace("delete", "configmap", OBJECT)
    until("what was deleted meanwhile", lambda: namespace.find("configmap", OBJECT))
    assert version(namespace) == before


def test_watching_leaves_nothing_on_what_is_watched_and_needs_only_its_rights(namespace: Kubectl, start: Start):
    foreign = "kopf.zalando.org/KopfFinalizerMarker"
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "foreign",
                "finalizers": [foreign],
                "labels": {"app.kubernetes.io/managed-by": "framepilot"},
            },
        }
    )
    operator = start("first")
    declare(namespace)
    until("a status", lambda: namespace.condition(KIND, "lobby", "Ready"))
    namespace("delete", "configmap", "foreign", "--wait=false")
    namespace("annotate", KIND, "lobby", "seen=1")
    until("the change to be seen", lambda: operator.metric("framepilot_operator_passes_total") > 2)
    asked = [request for request in operator.proxy.requests if request.agent.startswith("kopf")]
    print(*sorted({f"{each.method} {each.path}" for each in asked}), sep="\n")
    assert {request.method for request in asked} == {"GET"}
    assert operator.proxy.watched() == KINDS
    assert not [request for request in operator.proxy.requests if request.status in {401, 403}]
    assert namespace.get("configmap", "foreign")["metadata"]["finalizers"] == [foreign]
    namespace("patch", "configmap", "foreign", "--type=merge", "--patch", '{"metadata": {"finalizers": null}}')
    for kind, name in ((KIND, "lobby"), ("deployment", OBJECT), ("configmap", OBJECT), ("service", OBJECT)):
        metadata = namespace.get(kind, name)["metadata"]
        assert "finalizers" not in metadata
        assert not [key for key in metadata.get("annotations", {}) if "kopf" in key]
    assert not [each for each in namespace.get("events")["items"] if "kopf" in str(each)]


def test_nothing_but_the_lease_is_written_while_nothing_happens(namespace: Kubectl, start: Start):
    operator = start("first")
    eventually(lambda: operator.leads, "it to lead")
    declare(namespace)
    until("a status", lambda: namespace.condition(KIND, "lobby", "Ready"))
    passes = "framepilot_operator_passes_total"
    writes: list[int] = []

    def quiet() -> bool:
        """Ten more passes of the loop, and nothing written."""
        writes.append(len(operator.proxy.writes()))
        before = operator.metric(passes)
        eventually(lambda: operator.metric(passes) >= before + 10, "ten passes", poll_s=0.2)
        return len(operator.proxy.writes()) == writes[-1]

    eventually(quiet, "nothing to be written", timeout_s=300)
    print(f"resident memory: {operator.metric('process_resident_memory_bytes') / 2**20:.0f} MiB")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_waits_ends_when_told_to(start: Start, number: signal.Signals):
    _, second = leader_first(start)
    second.send(number)
    assert second.ended() == 0
