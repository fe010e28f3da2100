"""`framepilot runtime explain`: what services share, what that saves, and what is known while nobody says it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from framepilot.contract.observed import Device, ObservedStage, ObservedState
from framepilot.resources.parse import parse_resource
from framepilot_operator.cli import build
from framepilot_operator.cluster.records import write_declared
from framepilot_operator.cluster.registry import Record
from framepilot_operator.commands import runtime as command
from framepilot_operator.commands.runtime_explanation import heard, reported
from framepilot_operator.commands.runtime_explanation_text import render
from framepilot_operator.commands.runtime_view import RuntimeView
from framepilot_operator.commands.service_view import read_as
from framepilot_operator.running import registered
from support.resources import runtime_document
from support.service_api import ServiceApi, service_api, write_kubeconfig
from support.status_server import answering

DIFF = "Where two models part, and why: framepilot model diff A B, with the folders of their versions."
ALL = ("cameras/hall/face", "cameras/lobby/face", "cameras/yard/face")
TWO = ALL[:2]
SINCE = datetime(2026, 5, 1, 12, tzinfo=UTC)


def document(*services: str, uid: str = "u", sharing: dict[str, Any] | None = None) -> dict[str, Any]:
    found = runtime_document()
    found["metadata"] |= {"uid": uid, "generation": 1}
    found["status"] = {"observedGeneration": 1, "services": list(services)}
    if sharing is not None:
        found["status"]["sharing"] = {"since": SINCE.isoformat(), **sharing}
    return found


def module(service: str, name: str = "face", **fields: Any) -> dict[str, Any]:
    batch = {"size": 4, "max_wait_ms": 0, "since": 0}
    return {"service": f"cameras/{service}", "name": name, "model": "m", "batch": batch, **fields}


def state(**changes: Any) -> ObservedState:
    """An instance of three services: all have a beginning in common, two of them another piece after that."""
    return ObservedState.model_validate(
        {
            "instance_uid": "u",
            "started_at": 0,
            "device": Device(device_class="cpu", name="2 cores"),
            "pipelines": [
                {"service": f"cameras/{name}", "uid": name, "device_s": seconds, "charged_bytes": nbytes}
                for name, seconds, nbytes in (("hall", 1, 250_000), ("lobby", 6, 250_000), ("yard", 3, 500_000))
            ],
            "modules": [
                *map(module, ("hall", "lobby", "yard")),
                module("yard", "plate", alone="no other model begins with its picture of 96 x 96"),
            ],
            "stages": [
                {"modules": TWO, "nodes": 5, "share": 0.1, "batches": 0, "pictures": 0, "items": 0, "seconds": 0},
                {
                    "modules": ALL,
                    "nodes": 40,
                    "share": 0.8,
                    "engine": "onnxruntime",
                    "batches": 9,
                    "pictures": 100,
                    "items": 250,
                    "seconds": 4,
                },
            ],
            "parameters": {"unique": 1_000_000, "referenced": 2_500_000},
            **changes,
        }
    )


def view(*services: str, **fields: Any) -> RuntimeView:
    return read_as(RuntimeView, "runtime", document(*services, **fields))


def lines(found: Any) -> list[str]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render(found))
    return [" ".join(line.split()) for line in capture.get().splitlines() if line.strip()]


def test_what_is_shared_is_said_with_what_it_saves_and_why_it_is_not_more():
    names = [ObservedStage(modules=modules).short_id for modules in (ALL, TWO)]
    assert lines(heard(view("hall", "lobby", "yard"), "it", state())) == [
        "cameras/shared: cameras/hall, cameras/lobby, cameras/yard",
        (
            f"Stage {names[0]} runs on onnxruntime once for 3 modules: 40 nodes of their graphs, 80.0% of the "
            "arithmetic of the largest."
        ),
        "cameras/hall/face, cameras/lobby/face, cameras/yard/face",
        (
            "It ran on 100 pictures instead of 250 items, in 9 batches and 4.00 s of the device's time; "
            "about 6.00 s were saved."
        ),
        f"Stage {names[1]} runs once for 2 modules: 5 nodes of their graphs, 10.0% of the arithmetic of the largest.",
        "cameras/hall/face, cameras/lobby/face",
        "Nothing has run in it yet.",
        (
            "Parameters take 1,000,000 bytes; they would take 2,500,000 if each model had its own, "
            "so 1,500,000 are saved."
        ),
        "service device s of all parameters, bytes",
        "cameras/lobby 6.00 60.0% 250,000",
        "cameras/yard 3.00 30.0% 500,000",
        "cameras/hall 1.00 10.0% 250,000",
        "cameras/yard/plate shares no beginning with others: no other model begins with its picture of 96 x 96.",
        DIFF,
    ]


def test_where_nothing_is_shared_that_is_said():
    alike = {"unique": 70, "referenced": 70}
    idle = [{"service": f"cameras/{name}", "uid": name} for name in ("hall", "lobby")]
    nothing = state(stages=[], parameters=alike, modules=[module("hall"), module("lobby")], pipelines=idle)
    assert lines(heard(view("hall", "lobby", "yard"), "it", nothing)) == [
        "cameras/shared: cameras/hall, cameras/lobby, cameras/yard",
        "Not running in it yet: cameras/yard.",
        "Nothing runs once for several of their modules: each runs all of its model.",
        "Parameters take 70 bytes; no two models have one in common.",
        DIFF,
    ]


def test_one_service_has_nobody_to_share_with_and_none_at_all_has_no_instance():
    one = state(stages=[], parameters=None, modules=[module("hall")], pipelines=[])
    assert lines(heard(view("hall"), "it", one)) == [
        "cameras/shared: cameras/hall",
        "Not running in it yet: cameras/hall.",
        "One service runs in it, so there is no other one to share with.",
    ]
    assert lines(reported(view(), None, 0)) == [
        "cameras/shared: no service names it in placement.runtimeRef, so nothing runs in it."
    ]


@pytest.mark.parametrize(
    ("seconds", "age"), [(0, "0 seconds"), (-5, "0 seconds"), (119, "119 seconds"), (7200, "2 hours"), (9e5, "10 days")]
)
def test_of_an_instance_that_is_away_it_is_said_how_old_is_what_is_known(seconds, age):
    sharing = {
        "parametersUniqueBytes": 10,
        "parametersReferencedBytes": 30,
        "stages": [{"modules": list(TWO), "nodes": 5, "share": "12.5%"}],
    }
    found = reported(view("hall", "lobby", sharing=sharing), "its pod is Pending", SINCE.timestamp() + seconds)
    name = ObservedStage(modules=TWO).short_id
    assert lines(found) == [
        "cameras/shared: cameras/hall, cameras/lobby",
        (
            f"Its instance is away: its pod is Pending. What follows was reported {age} ago, and was so when it was "
            "last heard of."
        ),
        f"Stage {name} runs once for 2 modules: 5 nodes of their graphs, 12.5% of the arithmetic of the largest.",
        "cameras/hall/face, cameras/lobby/face",
        "Parameters take 10 bytes; they would take 30 if each model had its own, so 20 are saved.",
        DIFF,
    ]


def test_what_was_never_reported_is_not_made_up():
    assert lines(reported(view("hall", "lobby"), None, 0)) == [
        "cameras/shared: cameras/hall, cameras/lobby",
        "No instance says that it is its own. What its models share was not reported yet.",
    ]


def run(*arguments: object):
    return CliRunner().invoke(build(()), ["runtime", "explain", *map(str, arguments)])


class TestInASession:
    @pytest.fixture
    def session(self, tmp_path, state_home):
        """A running `framepilot up` whose state has the runtime `cameras/shared` and an instance of it that starts."""
        (tmp_path / "runtimes").mkdir()
        (tmp_path / "instances" / "cameras.runtime.shared").mkdir(parents=True)
        found = parse_resource(document("hall", "lobby"), "test")
        write_declared(tmp_path / "runtimes", Record(found, "u", 1, 0.0, "lobby.yaml"))
        with registered(state_home / "framepilot" / "up", [tmp_path / "lobby.yaml"], tmp_path):
            yield tmp_path

    @pytest.mark.usefixtures("session")
    def test_an_instance_that_says_nothing_is_named_with_the_reason(self):
        result = run("shared", "--namespace", "cameras")
        assert result.exit_code == 0
        assert result.stdout.splitlines()[1] == (
            "Its instance is away: it is starting. What its models share was not reported yet."
        )

    def test_its_instance_is_known_by_the_uid_of_the_runtime(self, session):
        cache = session / "instances" / "cameras.runtime.shared" / "cache"
        cache.mkdir()
        with answering(lambda: state().model_dump_json()) as address:
            (cache / "listen").write_text(address)
            found = json.loads(run("cameras/shared", "-o", "json").stdout)
        assert found["instance"] == "cameras.runtime.shared"
        assert [stage["use"] and stage["use"]["savedSeconds"] for stage in found["stages"]] == [6, None]
        assert [stage["engine"] for stage in found["stages"]] == ["onnxruntime", None]
        assert found["parameters"] == {"unique": 1_000_000, "referenced": 2_500_000, "saved": 1_500_000}
        lobby = {"service": "cameras/lobby", "seconds": 6, "share": 0.6, "parameterBytes": 250_000}
        assert found["charged"][0] == lobby
        assert found["ageS"] is None

    @pytest.mark.usefixtures("session")
    def test_a_name_that_there_is_not_is_told_which_there_are(self, kubeconfig):
        result = run("share", "--local")
        there = "has a runtime 'share' (there are: cameras/shared)"
        assert (result.exit_code, result.stderr) == (1, f"no running `framepilot up` {there}\n")
        anywhere = run("share")
        assert anywhere.exit_code == 1
        assert anywhere.stderr.startswith(f"no running `framepilot up` {there}; there is no kubeconfig {kubeconfig}")


class TestOnACluster:
    @pytest.fixture
    def api(self, kubeconfig: Path):
        with service_api() as api:
            write_kubeconfig(kubeconfig, api.url, namespace="cameras")
            api.runtimes["cameras/shared"] = document("hall", "lobby", "yard")
            yield api

    def test_its_pod_is_asked(self, api: ServiceApi):
        api.pods = {
            "cameras/framepilot-lobby-1": lambda: state(instance_uid="another").model_dump_json(),
            "cameras/inference-runtime-shared-6d4b-x1": lambda: state().model_dump_json(),
        }
        found = json.loads(run("shared", "-o", "json").stdout)
        assert found["instance"] == "cameras/inference-runtime-shared-6d4b-x1"
        assert found["services"] == ["cameras/hall", "cameras/lobby", "cameras/yard"]
        assert [len(stage["modules"]) for stage in found["stages"]] == [3, 2]

    def test_while_its_pod_is_away_its_status_says_what_was_shared(self, api: ServiceApi, monkeypatch):
        monkeypatch.setattr(command.time, "time", lambda: SINCE.timestamp() + 300)
        sharing = {"parametersUniqueBytes": 10, "parametersReferencedBytes": 30}
        api.runtimes["cameras/shared"] = document("hall", "lobby", sharing=sharing)
        api.pods = {
            "cameras/inference-runtime-shared-6d4b-x1": None,
            "cameras/inference-runtime-shared-2-6d4b-x1": None,
        }
        found = json.loads(run("shared", "-o", "json").stdout)
        assert (found["instance"], found["silence"], found["ageS"]) == (None, "its pod is Pending", 300)
        assert found["parameters"]["saved"] == 20

    def test_a_name_that_there_is_not_is_told_which_there_are(self, api: ServiceApi):
        result = run("sharde")
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == (
            "there is no runtime 'sharde' in namespace 'cameras'; there are: shared"
        )
        api.runtimes.clear()
        assert run("sharde").stderr.splitlines()[-1] == (
            "there is no runtime 'sharde' in namespace 'cameras'; there is none in it"
        )
