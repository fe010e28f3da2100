"""Services of a runtime whose models begin alike, in a real instance: a first plan counts what they share once."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from framepilot.contract.observed import ObservedState
from framepilot_operator.cluster.local import LocalCluster
from framepilot_operator.decision import decide
from framepilot_operator.loop import run
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.planning.profile import from_observed
from framepilot_operator.planning.stems import stems
from support.eventually import eventually_async
from support.resources import runtime_document
from support.samples.build import build

pytestmark = [pytest.mark.samples, pytest.mark.timeout(600)]

VERSIONS = {"door": "1", "hall": "2"}
"""Two versions of one model: the second has one more node at its end."""
SHARED = Owner.runtime("cameras/shared")


def document(name: str) -> dict[str, Any]:
    """A service on a video that it looks at like a camera."""
    samples = build()
    video = {"source": f"file://{samples / 'videos' / 'carphone_pristine.mp4'}", "fps": 5, "loop": True}
    return {
        "apiVersion": "framepilot.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "cameras"},
        "spec": {
            "streams": [{"name": "camera", **video, "realtime": True, "delivery": "newest"}],
            "modules": [{"name": "age", "model": {"name": "age", "version": VERSIONS[name]}}],
            "models": {"store": f"file://{samples / 'models'}"},
            "objective": {"latency": "10s"},
            "batching": {"mode": "Fixed", "size": 1},
            "placement": {"runtimeRef": {"name": "shared"}},
        },
    }


async def test_an_operator_that_has_just_begun_counts_once_what_services_share(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    with file.open("w") as opened:
        YAML(typ="safe").dump_all([*map(document, VERSIONS), runtime_document()], opened)
    cluster = LocalCluster([file], tmp_path / "state", page=False)
    loop = asyncio.create_task(run(cluster))

    def seen() -> ObservedState | None:
        instance = cluster._instances.get(SHARED)
        return None if instance is None else instance.snapshot().observed

    try:
        await eventually_async(lambda: (state := seen()) is not None and state.stages, "what is shared", 240)
        snapshot = await cluster.observe()
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        await cluster.close()
    (instance,) = (each for each in snapshot.instances if each.owner == SHARED)
    assert instance.observed is not None
    services = [(each.resource, each.uid) for each in snapshot.services]
    (stem,) = stems(services, instance.observed)
    assert stem.shares.keys() == {("cameras/door", "age"), ("cameras/hall", "age")}
    profiles = [from_observed(each.profile) for each in instance.observed.modules]
    apart_ms = [profile.tail_ms(1) for profile in profiles if profile is not None]
    typical_ms = [profile.typical_ms(1) for profile in profiles if profile is not None]
    for facts in decide(snapshot, time.time()).facts:
        assert facts.plan is not None
        assert facts.plan.feasible
        assert facts.plan.cycle_ms is not None
        saved_ms = sum(apart_ms) - facts.plan.cycle_ms
        # Nearly all of one of them, as far as the stage was found to take so long.
        assert saved_ms > 0.9 * min(stem.latency.seconds(1) * 1000, *typical_ms)
        assert saved_ms < max(typical_ms)
