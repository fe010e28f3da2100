"""`framepilot plan FILE…`: what the loop would plan, from the profiles that there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from ruamel.yaml import YAML
from typer.testing import CliRunner

from framepilot.resources.parse import parse_resource
from framepilot.resources.profile import ModelProfile
from framepilot.resources.service import InferenceService
from framepilot_operator.cli import build
from framepilot_operator.cluster.records import write_profile
from framepilot_operator.planning.desired import desired_pipeline, desired_state
from framepilot_operator.planning.planner import plan
from framepilot_operator.running import state_folder, state_home
from support.resources import service_document


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build(()), ["plan", *map(str, arguments)])


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return state_home({"XDG_STATE_HOME": str(tmp_path / "home")})


def declared(folder: Path, **spec: object) -> Path:
    document = service_document()
    document["spec"] |= {"modules": [{"name": "face", "model": {"name": "face", "version": "1"}}], **spec}
    path = folder / "service.yaml"
    with path.open("w") as file:
        YAML().dump(document, file)
    return path


def profile(device_class: str = "cpu", *, flat: bool = False) -> dict[str, object]:
    """A batch takes 8 ms, and 2 ms for each item; `flat`: all sizes are nearly as good."""
    durations_ms = {size: (0.5 if flat else 8) + 2 * size for size in (1, 4, 8, 16)}
    points = [{"batch": size, "p50": f"{ms}ms", "p99": f"{ms + 1}ms"} for size, ms in durations_ms.items()]
    spec = {"model": "face", "version": "1", "deviceClass": device_class, "points": points}
    metadata = {"name": f"face-{device_class}", "namespace": "cameras"}
    return {"apiVersion": "framepilot.dev/v1alpha1", "kind": "ModelProfile", "metadata": metadata, "spec": spec}


def written(folder: Path, *profiles: dict[str, object]) -> Path:
    path = folder / "profiles.yaml"
    with path.open("w") as file:
        YAML().dump_all(profiles, file)
    return path


def test_a_profile_beside_a_service_is_planned_with(tmp_path: Path) -> None:
    streams = [
        {"name": "door", "source": "test://64x64", "fps": 10},
        {"name": "gate", "source": "test://64x64", "fps": 5},
    ]
    (made,) = json.loads(run(declared(tmp_path, streams=streams), written(tmp_path, profile()), "-o", "json").stdout)
    (module,) = made["modules"]
    assert made["feasible"]
    assert made["device_class"] == "cpu"
    assert module["batch"] > 1
    cost_ms = (8 + 2 * module["batch"]) / module["batch"]
    assert module["utilization"] == pytest.approx(15 * cost_ms / 1000)
    assert made["utilization"] == module["utilization"]


def test_what_it_costs_is_said_where_the_price_of_its_device_is_given(tmp_path: Path) -> None:
    files = (declared(tmp_path), written(tmp_path, profile()))
    (made,) = json.loads(run(*files, "--price", "cpu=0.05", "--price", "nvidia-t4=1", "-o", "json").stdout)
    assert made["cost_per_hour"] == 0.05
    assert "costs 0.05 an hour" in run(*files, "--price", "cpu=0.05").stdout
    (unknown,) = json.loads(run(*files, "--price", "nvidia-t4=1", "-o", "json").stdout)
    assert unknown["cost_per_hour"] is None
    assert "an hour" not in run(*files).stdout


def test_a_price_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    answer = run(declared(tmp_path), "--price", "cpu=NaN")
    assert answer.exit_code == 2
    assert "the price of cpu: 'NaN' is not a price" in " ".join(answer.stderr.replace("│", " ").split())
    assert run("--workload", tmp_path / "w.json", "--price", "cpu=1").exit_code == 2


def test_what_up_measured_with_the_file_is_planned_with(tmp_path: Path, home: Path) -> None:
    service = declared(tmp_path)
    folder = state_folder(home, [service]) / "profiles"
    folder.mkdir(parents=True)
    measured = parse_resource(profile(), "test")
    assert isinstance(measured, ModelProfile)
    write_profile(folder, measured)
    (made,) = json.loads(run(service, "-o", "json").stdout)
    assert made["feasible"]


def test_without_a_profile_it_says_what_is_missing(tmp_path: Path) -> None:
    answer = run(declared(tmp_path))
    assert answer.exit_code == 0
    assert "no profile yet of face" in answer.stdout


def test_an_objective_that_nothing_holds_comes_with_one_that_could_be_held(tmp_path: Path) -> None:
    answer = run(declared(tmp_path, objective={"latency": "5ms"}), written(tmp_path, profile()))
    assert "does not hold the objective of 5 ms; 13.75 ms could be held" in answer.stdout


def test_explained_every_decision_has_its_reason(tmp_path: Path) -> None:
    answer = run(declared(tmp_path), written(tmp_path, profile()), "--explain")
    assert "the least device time for an item that holds the objective" in answer.stdout
    assert "face: 2.5 ms an item, 75% less than at 1" in answer.stdout


def test_what_runs_and_is_good_enough_is_kept_and_that_is_said(tmp_path: Path, home: Path) -> None:
    path = declared(tmp_path)
    service = parse_resource(YAML(typ="safe").load(path), "test")
    assert isinstance(service, InferenceService)
    told = desired_pipeline(service, "uid", plan([service], {}, {})[service.key], None, None)
    (face,) = told.modules
    running = face.model_copy(update={"batch": face.batch.model_copy(update={"size": 16})})
    instance = state_folder(home, [path]) / "instances" / "cameras.lobby"
    instance.mkdir(parents=True)
    document = desired_state("uid", [told.model_copy(update={"modules": (running,)})])
    (instance / "desired.json").write_text(document.model_dump_json(by_alias=True))
    (made,) = json.loads(run(path, written(tmp_path, profile(flat=True)), "-o", "json").stdout)
    assert made["reason"] == "what runs is good enough"
    assert made["modules"][0]["batch"] == 16


def test_profiles_of_two_device_classes_need_a_choice(tmp_path: Path) -> None:
    service, both = declared(tmp_path), written(tmp_path, profile(), profile("gpu"))
    answer = run(service, both)
    assert answer.exit_code == 1
    assert "cpu, gpu; choose one with --device-class" in answer.stderr
    assert "on gpu" in run(service, both, "--device-class", "gpu").stdout


def test_a_file_that_makes_no_sense_is_refused_like_everywhere(tmp_path: Path) -> None:
    answer = run(declared(tmp_path, modules=[]))
    assert answer.exit_code == 1
    assert "the pipeline is empty" in answer.stderr
    assert run().exit_code == 2
