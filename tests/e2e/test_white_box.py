"""Services of one runtime whose models begin alike: that part runs once for both, and everybody who asks is told."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from framepilot.contract.observed import ObservedStage
from support.app_process import metric
from support.framepilot_command import FRAMEPILOT
from support.kubectl import until
from support.site import KIND, Site

RUNTIMES = "inferenceruntimes.framepilot.dev"
VERSIONS = {"lobby": "1", "yard": "2"}
"""Two versions of one model: the second has one more node at its end."""


def declare(site: Site, name: str) -> None:
    """A service of the runtime."""
    document = site.service(
        name,
        placement={"runtimeRef": {"name": "shared"}},
        modules=[{"name": "age", "model": {"name": "age", "version": VERSIONS[name]}}],
    )
    del document["spec"]["template"]
    site.kubectl.apply(document)


def the_pod(site: Site) -> dict[str, Any]:
    """The only pod of the namespace, its ending predecessors apart."""
    (pod,) = (each for each in site.kubectl.get("pods")["items"] if "deletionTimestamp" not in each["metadata"])
    return pod


def asked(site: Site, path: str) -> str:
    """What the pod answers, through the API server's proxy."""
    pod = the_pod(site)["metadata"]["name"]
    return site.kubectl("get", "--raw", f"/api/v1/namespaces/{site.kubectl.namespace}/pods/{pod}:8080/proxy{path}")


def stages(site: Site) -> list[ObservedStage]:
    """What the instance says of what is shared."""
    return [ObservedStage.model_validate(each) for each in json.loads(asked(site, "/status"))["stages"]]


def sharing(site: Site) -> dict[str, Any]:
    """What the runtime's status says of it."""
    return site.kubectl.get(RUNTIMES, "shared").get("status", {}).get("sharing", {})


@pytest.fixture
def runtime(site: Site) -> None:
    site.kubectl.apply(
        {
            "apiVersion": "framepilot.dev/v1alpha1",
            "kind": "InferenceRuntime",
            "metadata": {"name": "shared"},
            "spec": {"template": site.service("any")["spec"]["template"]},
        }
    )
    for name in VERSIONS:
        declare(site, name)
    for name in VERSIONS:
        site.wait_ready(name)


def test_what_models_of_a_runtime_have_in_common_runs_once_and_is_seen_everywhere(
    site: Site, runtime: None, tmp_path: Path
) -> None:
    modules = tuple(f"{site.kubectl.namespace}/{name}/age" for name in VERSIONS)
    (stage,) = until("the stage to be used", lambda: [each for each in stages(site) if each.items > 20])
    assert stage.modules == modules
    assert 0 < stage.pictures <= stage.items
    assert stage.share > 0.99

    reported = until("the runtime to say so", lambda: sharing(site).get("stages"))
    assert [tuple(each["modules"]) for each in reported] == [modules]
    assert sharing(site)["parametersUniqueBytes"] < sharing(site)["parametersReferencedBytes"]

    text = asked(site, "/metrics")
    assert metric(text, "framepilot_shared_stage_items_total", shared_stage=stage.short_id) >= stage.items

    answer = subprocess.run(
        [
            FRAMEPILOT,
            *("runtime", "explain", "shared", f"--namespace={site.kubectl.namespace}", "--output=json"),
        ],
        text=True,
        capture_output=True,
        timeout=180,
        env={**os.environ, "KUBECONFIG": str(site.kubectl.kubeconfig), "XDG_STATE_HOME": str(tmp_path / "state")},
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    (explained,) = json.loads(answer.stdout)["stages"]
    assert tuple(explained["modules"]) == modules


def test_a_service_that_is_deleted_costs_the_one_that_shared_with_it_no_frame(site: Site, runtime: None) -> None:
    until("both to share", lambda: any(each.items > 20 for each in stages(site)))
    before = the_pod(site)["status"]["containerStatuses"][0]
    site.kubectl("delete", KIND, "yard", "--wait=false")
    until("nothing to be shared any more", lambda: not stages(site))
    assert site.ledger_beyond_now("lobby").whole
    assert site.ledger("yard").whole
    after = the_pod(site)["status"]["containerStatuses"][0]
    assert [after[key] for key in ("containerID", "restartCount")] == [
        before[key] for key in ("containerID", "restartCount")
    ]
    until("the runtime to say so", lambda: "stages" not in sharing(site) or sharing(site)["stages"] == [])
