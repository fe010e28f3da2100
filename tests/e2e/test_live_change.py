"""The main job on a cluster: a patch changes the running container, which is never restarted and loses nothing."""

from __future__ import annotations

import time
from statistics import quantiles

from support.images.build import INFERENCE_APP
from support.kubectl import until
from support.operator_release import OperatorRelease
from support.site import KIND, Site

PATCHES = 50


def test_an_applied_service_runs_in_the_image_just_built_and_its_results_arrive(
    site: Site, images: dict[str, str]
) -> None:
    site.declare("lobby")
    site.wait_ready("lobby")
    until("results", lambda: site.ledger("lobby").arrived > 20)
    assert [each["image"] for each in site.pod("lobby")["spec"]["containers"]] == [images[INFERENCE_APP]]
    line = site.kubectl("get", KIND, "lobby", "--no-headers")
    assert line.split()[:4] == ["lobby", "True", "Serving", "Serving"], line
    story = site.kubectl("describe", KIND, "lobby")
    assert "Every module serves." in story
    assert "Events:" in story
    until("an Event", lambda: any(each["reason"] == "Serving" for each in events_of(site, "lobby")))


def events_of(site: Site, name: str) -> list[dict]:
    items = site.kubectl.get("events.events.k8s.io")["items"]
    return [
        item for item in items if item["regarding"]["kind"] == "InferenceService" and item["regarding"]["name"] == name
    ]


def test_fifty_patches_of_the_batch_size_are_in_force_in_the_same_container(site: Site) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 1})
    site.wait_ready("lobby")
    before = site.container("lobby")
    delays_s = []
    for number in range(PATCHES):
        size = 2 + number % 7
        started_at = time.time()
        site.patch_batch("lobby", size)
        batch = until(
            f"batch {size} to be in force",
            lambda size=size: next(
                (each["batch"] for each in site.observed("lobby")["modules"] if each["batch"]["size"] == size), None
            ),
        )
        delays_s.append(batch["since"] - started_at)
    until("the last frames", lambda: site.ledger("lobby").arrived > 0)
    cuts = quantiles(delays_s, n=100, method="inclusive")
    print(f"kubectl patch to in force: p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s, largest {max(delays_s):.2f} s")
    assert site.container("lobby") == before
    assert site.observed("lobby")["frames"]["dropped"] == {}
    assert site.ledger("lobby").whole
    until("the status to say so", lambda: site.module("lobby")["batch"] == size)


def test_a_new_version_is_swapped_in_and_a_broken_one_is_refused(site: Site) -> None:
    site.declare("lobby")
    site.wait_ready("lobby")
    before = site.container("lobby")
    site.patch_version("lobby", "2")
    until("version 2 to serve", lambda: site.module("lobby").get("serving") == "2")
    site.patch_version("lobby", "tampered")
    until("the refusal", lambda: site.module("lobby").get("refused") == "tampered")
    condition = site.kubectl.condition(KIND, "lobby", "ModelsReady")
    assert (condition["status"], condition["reason"]) == ("False", "ModelRefused")
    assert "version tampered was refused" in condition["message"]
    assert "version 2 goes on serving" in condition["message"]
    event = until(
        "an Event that says why",
        lambda: next((each for each in events_of(site, "lobby") if each["reason"] == "ModelRefused"), None),
    )
    assert event["type"] == "Warning"
    assert "tampered" in event["note"]
    arrived = site.ledger("lobby").arrived
    until("more results", lambda: site.ledger("lobby").arrived > arrived + 20)
    assert site.module("lobby")["serving"] == "2"
    assert site.container("lobby") == before
    assert site.observed("lobby")["frames"]["dropped"] == {}
    assert site.ledger("lobby").whole


def test_instances_go_on_without_the_operator_and_converge_when_it_is_back(
    site: Site, operator: OperatorRelease
) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 2})
    site.declare("yard", batching={"mode": "Fixed", "size": 2})
    for name in ("lobby", "yard"):
        site.wait_ready(name)
    operator.scale(0)
    try:
        untouched = site.container("yard")
        site.patch_batch("lobby", 4)
        site.patch_batch("yard", 5)
        site.patch_version("lobby", "2")
        site.kubectl("delete", "pod", site.pod("lobby")["metadata"]["name"])
        # The restarted pod finds the desired state of before the operator went.
        until("lobby to serve again", lambda: site.serving("lobby") == ("1", 2))
        arrived = site.ledger("yard").arrived
        until("results of yard", lambda: site.ledger("yard").arrived > arrived + 20)
        assert site.serving("yard") == ("1", 2)
    finally:
        operator.scale(1)
    until("lobby to converge", lambda: site.serving("lobby") == ("2", 4))
    until("yard to converge", lambda: site.serving("yard") == ("1", 5))
    assert site.container("yard") == untouched
    assert site.ledger("yard").whole
