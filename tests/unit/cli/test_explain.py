"""`framepilot explain`: the plan's reasons, and what each batch size would be for a module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from framepilot.contract.observed import Device, ObservedState
from framepilot.resources.parse import parse_resource
from framepilot.scheduling.latency import LatencyModel
from framepilot_operator.cli import build
from framepilot_operator.cluster.records import write_declared
from framepilot_operator.cluster.registry import Record
from framepilot_operator.commands.counted_profiles import measured_profiles
from framepilot_operator.commands.explanation import explained
from framepilot_operator.commands.explanation_text import render
from framepilot_operator.commands.service_view import view
from framepilot_operator.planning.alternatives import Objective, OnDevice, alternatives
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.running import registered
from framepilot_operator.telemetry.device_view import DeviceView, Value
from framepilot_operator.telemetry.measurement import Quantity
from framepilot_operator.tuning.memory import Look
from framepilot_operator.tuning.policy import tune
from support.resources import service_document
from support.service_api import service_api, write_kubeconfig

SHA = "0" * 64


def profile(fixed_ms: float, item_ms: float, largest: int = 8) -> ModuleProfile:
    model = LatencyModel.measured(
        (size, (fixed_ms + item_ms * size) / 1000) for size in (1, 2, 4, 8) if size <= largest
    )
    return ModuleProfile(model, model, largest)


FACE = OnDevice("cameras/lobby", "face", 4, profile(10, 5))
AGE = OnDevice("cameras/lobby", "age", 2, profile(4, 1))


def test_a_size_is_judged_by_the_cycle_with_all_others_as_they_are():
    objectives = {"cameras/lobby": Objective(100.0, 80.0, 2), "cameras/yard": Objective(50.0, 40.0, 1)}
    found = alternatives(FACE, (1, 4, 8), [AGE], objectives)
    # The cycle is 6 ms of the other and its own; of 100 ms modules may use 80, in two modules one after the other.
    assert [(each.size, each.worst_case_ms, each.late) for each in found] == [
        (1, pytest.approx(42), ()),
        (4, pytest.approx(72), ()),
        (8, pytest.approx(112), ("cameras/lobby", "cameras/yard")),
    ]
    assert [each.item_ms for each in found] == [pytest.approx(15), pytest.approx(7.5), pytest.approx(6.25)]
    assert [each.in_force for each in found] == [False, True, False]


def module(name: str, batch: int, fixed_ms: float, item_ms: float, **fields: Any) -> dict[str, Any]:
    points = [
        {"batch": size, "p50_ms": fixed_ms + item_ms * size, "p99_ms": fixed_ms + item_ms * size} for size in (1, 2, 4)
    ]
    return {
        "service": "cameras/lobby",
        "name": name,
        "model": "m",
        "serving": {"version": "1", "sha256": SHA},
        "batch": {"size": batch, "max_wait_ms": 0, "since": 0},
        "profile": points,
        **fields,
    }


def state(**changes: Any) -> ObservedState:
    """An instance that runs the service `cameras/lobby`: a detector, and a classifier of what it finds."""
    return ObservedState.model_validate(
        {
            "started_at": 0,
            "device": Device(device_class="cpu", name="2 cores"),
            "pipelines": [{"service": "cameras/lobby", "uid": "u", "objective_ms": 100}],
            "modules": [module("age", 2, 4, 1, inputs=["face"]), module("face", 4, 10, 5)],
            **changes,
        }
    )


def document(**status: Any) -> dict[str, Any]:
    found = service_document()
    planned = {"name": "face", "batch": 4, "reason": "it pays"}
    found["status"] = {
        "observedGeneration": 1,
        "modules": [{"name": "face", "batch": 4, "serving": "1", "refused": "9"}],
        "plan": {"reason": "what runs is good enough", "modules": [planned]},
        **status,
    }
    return found


def lines(
    found: dict[str, Any],
    states: dict[str, ObservedState],
    devices: Mapping[str, DeviceView] = MappingProxyType({}),
    declared: Mapping[str, dict[str, Any]] = MappingProxyType({}),
) -> list[str]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render(explained(view(found), states, devices, declared)))
    return [" ".join(line.split()) for line in capture.get().splitlines() if line.strip()]


def test_what_a_service_costs_is_said_where_it_is_known():
    plan = {"reason": "what runs is good enough", "costPerHour": "0.05"}
    assert "It costs 0.05 an hour: all of its device." in lines(document(plan=plan), {"it": state()})
    other = {"service": "cameras/yard", "uid": "v", "objective_ms": 50}
    both = state(pipelines=[*(each.model_dump() for each in state().pipelines), other])
    said = lines(document(plan=plan), {"it": both})
    assert "It costs 0.05 an hour: its share of its device, by planned use." in said


def test_a_person_reads_the_reasons_and_what_else_there_is():
    assert lines(document(), {"it": state()}) == [
        "cameras/lobby: what runs is good enough",
        (
            "A frame is to take 100 ms at most; modules may use 80 ms of it, the rest is for what is done before and "
            "after."
        ),
        "face (centerface 1), batch 4: it pays",
        "Version 9 was tried, and refused.",
        "batch takes ms 99 % within ms an item ms a frame at worst ms",
        "1 15.00 15.00 15.00 42",
        "2 20.00 20.00 10.00 52",
        "3 25.00 25.00 8.33 62",
        "4 30.00 30.00 7.50 72 in force",
        "age (age 1), no batch size yet",
        "batch takes ms 99 % within ms an item ms a frame at worst ms",
        "1 5.00 5.00 5.00 70",
        "2 6.00 6.00 3.00 72 in force",
        "3 7.00 7.00 2.33 74",
        "4 8.00 8.00 2.00 76",
    ]


def test_what_was_found_while_it_runs_is_said_before_what_was_measured():
    found = "batches take 2.1 times as long as alone on the device"
    plan = {"reason": "x", "modules": [{"name": "face", "batch": 4, "reason": "it pays", "tuning": found}]}
    assert f"While it runs: {found}. What follows was measured at loading." in lines(
        document(plan=plan), {"it": state()}
    )


def test_what_a_module_shares_with_whom_is_said_and_why_another_one_shares_nothing():
    face = "cameras/lobby/face"
    stages = [
        {"modules": [face, *others], "nodes": nodes} for nodes, others in ((40, ["a/b/c", "a/d/e"]), (5, ["a/b/c"]))
    ]
    reason = "its engine runs the whole of a model"
    modules = [module("age", 2, 4, 1, inputs=["face"], alone=reason), module("face", 4, 10, 5)]
    found = lines(document(), {"it": state(stages=stages, modules=modules)})
    at = found.index("face (centerface 1), batch 4: it pays")
    assert found[at + 2 : at + 4] == [
        "40 nodes of its beginning run once for it and a/b/c, a/d/e.",
        "5 nodes of its beginning run once for it and a/b/c.",
    ]
    assert f"It shares no beginning with others: {reason}." in found


def sharing(**camera: Any) -> tuple[dict[str, dict[str, Any]], ObservedState]:
    """Two services with a detector each; their batches take 15 ms for an item, of which 10 are one stage of both."""
    services, modules = {}, []
    for name in ("lobby", "yard"):
        made = services[f"cameras/{name}"] = document()
        made["metadata"] = {"name": name, "namespace": "cameras"}
        streams = [{"name": "door", "source": "rtsp://door/main", "fps": 10, **(camera if name == "yard" else {})}]
        made["spec"] |= {"streams": streams, "modules": made["spec"]["modules"][:1]}
        modules.append(module("face", 2, 0, 15) | {"service": f"cameras/{name}"})
    stage = {
        "modules": ["cameras/lobby/face", "cameras/yard/face"],
        "nodes": 40,
        "share": 0.9,
        "shares": [0.9, 0.9],
        "points": [{"pictures": size, "ms": 10 * size} for size in (1, 2, 4)],
    }
    pipelines = [{"service": key, "uid": key, "objective_ms": 100} for key in services]
    return services, state(pipelines=pipelines, modules=modules, stages=[stage])


def test_what_modules_share_counts_once_in_what_other_sizes_would_be():
    services, running = sharing()
    found = explained(view(services["cameras/lobby"]), {"it": running}, {}, services).modules[0]
    assert found.counted_once
    # Of the stage each pays for half, and in the tail for half of one picture's, as the smallest batch has no more.
    assert [(each.size, each.typical_ms, each.tail_ms) for each in found.sizes] == [
        (1, pytest.approx(10), pytest.approx(10)),
        (2, pytest.approx(20), pytest.approx(25)),
        (3, pytest.approx(30), pytest.approx(40)),
        (4, pytest.approx(40), pytest.approx(55)),
    ]
    assert [each.worst_case_ms for each in found.sizes] == [pytest.approx(ms) for ms in (35, 50, 65, 80)]
    said = lines(services["cameras/lobby"], {"it": running}, declared=services)
    at = said.index("40 nodes of its beginning run once for it and cameras/yard/face.")
    assert said[at + 1] == "In what follows it is counted once: each of them has its part of it."


def test_the_sizes_are_those_of_the_operators_plan():
    services, running = sharing()
    resources = [parse_resource(each | {"status": {}}, key) for key, each in services.items()]
    look = Look(tuple(zip(resources, services, strict=True)), {}, running, 1.0, measured_profiles(running), {})
    decision, _ = tune(look, None, 2.0)
    modules = [
        each.model_copy(update={"batch": each.batch.model_copy(update={"size": plan.batch.size})})
        for each in running.modules
        for plan in decision.plans[each.service].modules
    ]
    told = running.model_copy(update={"modules": tuple(modules)})
    sizes = explained(view(services["cameras/lobby"]), {"it": told}, {}, services).modules[0].sizes
    (in_force,) = [each for each in sizes if each.in_force]
    assert in_force.worst_case_ms == pytest.approx(decision.plans["cameras/lobby"].cycle_ms)
    alone = explained(view(services["cameras/lobby"]), {"it": told}, {}, {}).modules[0].sizes
    assert [each.worst_case_ms for each in alone if each.in_force] != [pytest.approx(in_force.worst_case_ms)]


def test_nothing_is_taken_off_for_services_that_have_other_pictures_or_cannot_be_read():
    def counted(services: dict[str, dict[str, Any]], running: ObservedState) -> bool:
        return explained(view(services["cameras/lobby"]), {"it": running}, {}, services).modules[0].counted_once

    services, running = sharing(source="rtsp://yard/main")
    assert not counted(services, running)
    services, running = sharing()
    assert counted(services, running)
    services["cameras/yard"]["spec"]["ofAnotherVersion"] = 1
    assert not counted(services, running)
    del services["cameras/yard"]
    assert not counted(services, running)


def test_the_limits_in_force_are_said_and_nothing_where_there_are_none():
    pipeline = {"service": "cameras/lobby", "uid": "u", "objective_ms": 100, "parameter_bytes": 5_000_000}
    limits = {"limit": 0.3, "memory_limit_bytes": 2**23, "time_limit_ms": 12.5}
    every = lines(document(), {"it": state(pipelines=[{**pipeline, **limits}])})
    assert every[2] == (
        "It is limited: 30% of its device's time, 8,388,608 bytes of parameters, of which it has 5,000,000, 12.5 ms "
        "for a batch."
    )
    one = lines(document(), {"it": state(pipelines=[{**pipeline, "time_limit_ms": 100}])})
    assert one[2] == "It is limited: 100 ms for a batch."
    assert not any("limited" in line for line in lines(document(), {"it": state(pipelines=[pipeline])}))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"size": 4}, None),
        ({"size": 2, "reason": "r"}, "The time limit leaves it batches of 2 at most: r."),
        ({"size": 0, "reason": "r"}, "It is stopped by the time limit: r."),
    ],
    ids=["within", "smaller batches", "stopped"],
)
def test_what_a_time_limit_leaves_a_module_is_said_where_it_holds_it_back(found, said):
    face = module("face", 4, 10, 5, time_limit={"limit_ms": 100, **found})
    written = lines(document(), {"it": state(modules=[module("age", 2, 4, 1, inputs=["face"]), face])})
    assert [line for line in written if "time limit" in line] == ([] if said is None else [said])


def test_how_busy_the_device_is_is_said_with_the_source_and_what_is_in_doubt():
    busy, others = Value(0.9, "NVML (it)", 1.2), Value(0.5, "NVML (it)", 1.2)
    known = DeviceView(values={Quantity.UTILIZATION: busy}, others=others, doubts=("one says this, another that",))
    found = lines(document(), {"it": state()}, {"it": known})
    assert found[2:4] == [
        "Its device is 90% busy, 50% of its time with what is not ours: NVML (it), 1 s ago.",
        "one says this, another that.",
    ]
    assert "How busy its device is, nobody says." in lines(document(), {"it": state()}, {"it": DeviceView()})


def test_what_is_too_late_says_for_whom_where_a_device_is_shared():
    pipelines = [
        {"service": "cameras/lobby", "uid": "u", "objective_ms": 100},
        {"service": "cameras/yard", "uid": "v", "objective_ms": 40},
    ]
    found = lines(document(), {"it": state(pipelines=pipelines)})
    assert "Its device runs as well: cameras/yard. All of their objectives count." in found
    assert "4 30.00 30.00 7.50 72 in force, too late for cameras/yard" in found


def test_what_is_not_known_is_said():
    found = lines(document(plan=None), {"it": state(pipelines=[], modules=[])})
    assert found[:2] == [
        "cameras/lobby: nothing is planned yet",
        "No instance says that it runs it, so nothing is known of what it could run instead.",
    ]
    unmeasured = lines(document(), {"it": state(modules=[module("face", 4, 10, 5, profile=[])])})
    assert "How long its batches take is not measured yet." in unmeasured


def test_a_fixed_size_has_no_others_and_conditions_that_are_bad_are_said():
    fixed = document(
        conditions=[
            {"type": "Ready", "status": "True", "message": "all is well"},
            {"type": "Feasible", "status": "False", "message": "No plan holds it."},
            {"type": "Stalled", "status": "True", "message": "It is stuck."},
            {"type": "Reconciling", "status": "False", "message": "Nothing is on its way."},
        ]
    )
    fixed["spec"]["modules"][0]["batching"] = {"mode": "Fixed", "size": 4}
    found = lines(fixed, {"it": state()})
    assert sum(line.startswith(("1 15", "2 20", "4 30")) for line in found) == 1
    assert found[-2:] == ["Feasible is False: No plan holds it.", "Stalled is True: It is stuck."]


def run(*arguments: object):
    return CliRunner().invoke(build(()), ["explain", *map(str, arguments)])


def test_a_service_of_a_running_process_is_explained(tmp_path, state_home):
    (tmp_path / "services").mkdir()
    write_declared(tmp_path / "services", Record(parse_resource(service_document(), "test"), "u", 1, 0.0, "lobby.yaml"))
    with registered(state_home / "framepilot" / "up", [tmp_path / "lobby.yaml"], tmp_path):
        result = run("cameras/lobby")
        missing = run("hall", "--local")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "cameras/lobby: nothing is planned yet"
    assert (missing.exit_code, missing.stderr) == (1, "no running `framepilot up` has a service 'hall'\n")


def test_of_a_cluster_the_services_beside_it_are_read_as_well(kubeconfig):
    services, running = sharing()
    with service_api() as api:
        write_kubeconfig(kubeconfig, api.url, namespace="elsewhere")
        for each in services.values():
            api.add(each)
        api.pods = {"cameras/framepilot-runtime-shared-1": running.model_dump_json}
        found = json.loads(run("cameras/lobby", "-o", "json").stdout)
    assert found["modules"][0]["countedOnce"]
    assert [size["typicalMs"] for size in found["modules"][0]["sizes"]] == [
        pytest.approx(each) for each in (10, 20, 30, 40)
    ]


def test_a_service_of_a_cluster_is_explained(kubeconfig):
    with service_api() as api:
        write_kubeconfig(kubeconfig, api.url, namespace="cameras")
        api.add(document())
        api.pods = {"cameras/framepilot-lobby-1": lambda: state().model_dump_json()}
        found = json.loads(run("lobby", "-o", "json").stdout)
        missing = run("lob")
    assert found["instance"] == "cameras/framepilot-lobby-1"
    assert [size["size"] for size in found["modules"][0]["sizes"]] == [1, 2, 3, 4]
    assert missing.exit_code == 1
    assert missing.stderr.splitlines()[-1].endswith("there are: lobby")
