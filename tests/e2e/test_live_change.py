"""The main job on a cluster: a patch changes the running container, which is never restarted and loses nothing."""

from __future__ import annotations

import time
from statistics import quantiles
from typing import Any

from support.cluster import paths
from support.images.build import INFERENCE_APP, OPERATOR
from support.images.registry import Registry
from support.kubectl import until
from support.operator_release import OperatorRelease
from support.site import KIND, Site

PATCHES = 50
LOAD = [
    {"name": name, "source": f"test://160x120?fps={fps}", "delivery": "lossless"}
    for name, fps in (("door", 25), ("gate", 15), ("yard", 10))
]


def digest(pod: dict[str, Any]) -> str:
    """Of the image that the pod's container runs, as the node says."""
    (status,) = pod["status"]["containerStatuses"]
    return status["imageID"].rpartition("@")[2]


def built(reference: str) -> str | None:
    """The digest of an image in the registry."""
    repository, _, tag = reference.removeprefix(f"{paths.REGISTRY}/").rpartition(":")
    return Registry(paths.REGISTRY).digest(repository, tag)


def check_that_nothing_was_lost(site: Site, *streams: str) -> None:
    """Every frame since the start arrived, once and in order, and results go on arriving."""
    dropped = site.observed("lobby")["frames"]["dropped"]
    for stream in streams:
        ledger = site.ledger_beyond_now("lobby", stream)
        print(f"{stream}: {ledger.arrived} arrived, {ledger.missing} lost, dropped {dropped or 0}")
        assert ledger.whole
        assert ledger.epochs == 1
    assert dropped == {}


def test_an_applied_service_runs_in_the_image_just_built_and_its_results_arrive(
    site: Site, operator: OperatorRelease, images: dict[str, str]
) -> None:
    declared_at = time.monotonic()
    site.declare("lobby")
    site.wait_ready("lobby")
    print(f"kubectl apply to Ready: {time.monotonic() - declared_at:.1f} s")
    check_that_nothing_was_lost(site, "door")
    (running,) = operator.pods()
    assert digest(site.pod("lobby")) == built(images[INFERENCE_APP])
    assert digest(operator.system.get("pod", running)) == built(images[OPERATOR])
    line = site.kubectl("get", KIND, "lobby", "--no-headers")
    assert line.split()[:4] == ["lobby", "True", "Serving", "Serving"], line
    until("an Event", lambda: "Serving" in [each["reason"] for each in site.events("lobby")])
    story = site.kubectl("describe", KIND, "lobby")
    assert "Every module serves." in story
    assert "Ready is True" in story


def test_fifty_patches_of_the_batch_size_are_in_force_in_the_same_container(site: Site) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 1})
    site.wait_ready("lobby")
    before = site.container("lobby")
    delays_s = []
    for number in range(PATCHES):
        size = 2 + number % 7
        patched_at = time.time()
        site.patch_batch("lobby", size)
        until(f"the status to say batch {size}", lambda size=size: site.module("lobby")["batch"] == size)
        (module,) = site.observed("lobby")["modules"]
        assert module["batch"]["size"] == size
        delays_s.append(module["batch"]["since"] - patched_at)
    cuts = quantiles(delays_s, n=100, method="inclusive")
    print(f"kubectl patch to in force: p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s, largest {max(delays_s):.2f} s")
    assert site.container("lobby") == before
    check_that_nothing_was_lost(site, "door")


def test_of_patches_that_come_faster_than_they_take_force_the_last_is_in_force(site: Site) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 1})
    site.wait_ready("lobby")
    before = site.container("lobby")
    for number in range(PATCHES):
        size = 2 + number % 7
        patched_at = time.time()
        site.patch_batch("lobby", size)
    until(f"batch {size}", lambda: site.serving("lobby") == ("1", size))
    (module,) = site.observed("lobby")["modules"]
    since = module["batch"]["since"]
    print(f"the last of {PATCHES} patches without a pause to in force: {since - patched_at:.2f} s")
    site.wait_ready("lobby")
    assert site.module("lobby")["batch"] == size
    assert site.serving("lobby") == ("1", size)
    assert site.container("lobby") == before
    check_that_nothing_was_lost(site, "door")


def test_a_new_version_is_swapped_in_under_load_and_a_broken_one_is_refused(site: Site) -> None:
    site.declare("lobby", streams=LOAD)
    site.wait_ready("lobby")
    before = site.container("lobby")
    for version in ("2", "1"):
        patched_at = time.time()
        site.patch_version("lobby", version)
        rollout = until(f"version {version} to serve", lambda version=version: switched(site, version))
        after_s, pause_ms = rollout["since"] - patched_at, rollout["pauseMs"]
        print(f"kubectl patch to version {version} serving: {after_s:.2f} s, of which the switch {pause_ms:.2f} ms")
        until("the status to say so", lambda version=version: site.module("lobby").get("serving") == version)
    for broken, why in (("tampered", "sha256"), ("nan", "of its example differs")):
        site.patch_version("lobby", broken)
        until("the refusal", lambda broken=broken: site.module("lobby").get("refused") == broken)
        condition = site.kubectl.condition(KIND, "lobby", "ModelsReady")
        assert (condition["status"], condition["reason"]) == ("False", "ModelRefused")
        assert f"version {broken} was refused" in condition["message"]
        assert why in condition["message"]
        assert "version 1 goes on serving" in condition["message"]
        event = until(
            "an Event that says why",
            lambda broken=broken: next((each for each in site.events("lobby") if broken in each["note"]), None),
        )
        assert (event["type"], event["reason"]) == ("Warning", "ModelRefused")
        assert why in event["note"]
        assert site.module("lobby")["serving"] == "1"
    assert site.container("lobby") == before
    check_that_nothing_was_lost(site, "door", "gate", "yard")


def switched(site: Site, version: str) -> dict[str, Any] | None:
    """The rollout that brought a version, once it serves."""
    (module,) = site.observed("lobby")["modules"]
    return module["rollout"] if (module["serving"] or {}).get("version") == version else None
