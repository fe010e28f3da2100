"""A camera and a broker in pods of their own: results flow from one to the other, and either may go away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.broker import Subscriber
from support.kubectl import until
from support.server_pods import FILES, ServerPod, camera_pod
from support.site import KIND, Site

BROKER = "listener 1883 0.0.0.0\nallow_anonymous true\n"
PASSWORD = "of the door"
LOGIN = {"door.username": "viewer", "door.password": PASSWORD}


@pytest.fixture
def camera(site: Site, servers_image: str) -> ServerPod:
    """A camera that asks for a password, running."""
    pod = camera_pod(servers_image, PASSWORD)
    pod.start(site.kubectl)
    return pod


@pytest.fixture
def broker(site: Site, servers_image: str) -> ServerPod:
    """A broker without a memory, running; `mqtt://broker:1883`."""
    pod = ServerPod("broker", servers_image, ["mosquitto", "-c", f"{FILES}/conf"], 1883, {"conf": BROKER})
    pod.start(site.kubectl)
    return pod


@pytest.fixture
def lobby(site: Site, camera: ServerPod, broker: ServerPod) -> None:
    """A service between the two, which knows the password."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cameras"}, "stringData": LOGIN}
    site.kubectl.apply(secret)
    site.declare(
        "lobby",
        credentialsSecretName="cameras",
        streams=[{"name": "door", "source": "rtsp://camera:8554/main", "timeout": "2s"}],
        sinks=[{"name": "events", "type": "mqtt", "url": "mqtt://broker:1883/lobby"}],
    )
    site.wait_ready("lobby")


@pytest.fixture
def subscriber(site: Site, broker: ServerPod, lobby: None) -> Iterator[Subscriber]:
    """Somebody who wants all results."""
    subscribed = Subscriber(1883, broker.address(site.kubectl))
    yield subscribed
    subscribed.close()


def streams_ready(site: Site) -> dict[str, Any]:
    return site.kubectl.condition(KIND, "lobby", "StreamsReady")


def sink(site: Site) -> dict[str, Any]:
    (found,) = site.observed("lobby")["sinks"]
    return found


def epochs(subscriber: Subscriber) -> set[int]:
    return {event["data"]["epoch"] for event in subscriber.events()}


def test_results_of_a_camera_arrive_at_a_broker(site: Site, subscriber: Subscriber) -> None:
    until("results at the broker", lambda: len(subscriber.events()) > 20)
    assert {event["data"]["stream"] for event in subscriber.events()} == {"door"}
    until("streams to be ready", lambda: streams_ready(site).get("status") == "True")
    assert PASSWORD not in site.kubectl("logs", site.pod("lobby")["metadata"]["name"])


def test_a_camera_that_goes_away_is_said_and_is_back_by_itself(
    site: Site, camera: ServerPod, subscriber: Subscriber
) -> None:
    until("results at the broker", subscriber.events)
    container, before = site.container("lobby"), epochs(subscriber)
    camera.stop(site.kubectl)
    until("the stall to be said", lambda: streams_ready(site).get("reason") == "StreamStalled")
    assert "door" in streams_ready(site)["message"]
    assert site.kubectl.condition(KIND, "lobby", "Ready")["status"] == "True"
    camera.start(site.kubectl)
    until("results of a new opening", lambda: epochs(subscriber) - before)
    until("streams to be ready", lambda: streams_ready(site).get("status") == "True")
    assert site.container("lobby") == container


def test_a_broker_that_goes_away_costs_no_event(site: Site, broker: ServerPod, subscriber: Subscriber) -> None:
    until("results at the broker", subscriber.events)
    container = site.container("lobby")
    broker.stop(site.kubectl)
    until("events to wait", lambda: sink(site)["waiting"] > 20)
    broker.start(site.kubectl)
    offered = sink(site)["offered"]
    until("what waited to be written", lambda: sink(site)["written"] > offered)
    assert sink(site)["dropped"] == {}
    assert site.container("lobby") == container
