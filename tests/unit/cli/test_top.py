"""`framepilot top`: what two looks at instances say, from a session's processes and from a cluster's pods."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from framepilot.contract.observed import Device, DeviceUse, ObservedState, UtilizationSource
from framepilot.resources.parse import parse_resource
from framepilot_operator.cli import build
from framepilot_operator.cluster.records import write_declared
from framepilot_operator.cluster.registry import Record
from framepilot_operator.commands import top as command
from framepilot_operator.commands.instance_look import DeviceLook, Look, usage
from framepilot_operator.commands.top_table import render
from framepilot_operator.running import registered
from framepilot_operator.telemetry.device_view import Said, device_views
from support.resources import service_document
from support.service_api import ServiceApi, service_api, write_kubeconfig
from support.status_server import answering

SHA = "0" * 64
GPU = DeviceUse(
    source=UtilizationSource.NVML,
    at=5000,
    utilization=0.97,
    own=0.4,
    memory_used_bytes=3 * 2**30,
    memory_total_bytes=24 * 2**30,
    temperature_celsius=61,
    power_watts=70.4,
    throttled=("sw_power_cap",),
)


def state(
    seconds: float, *, started_at: float = 100.0, service: str = "cameras/lobby", use: DeviceUse | None = None
) -> ObservedState:
    """An instance that has run for so long; of 14 frames a second 3 are still, one is dropped and 10 make 20 items."""
    each = int(seconds)
    frames = {
        "ingested": 14 * each,
        "delivered": 10 * each,
        "still": 3 * each,
        "dropped": {"late": each, "still": 3 * each},
    }
    return ObservedState.model_validate(
        {
            "started_at": started_at,
            "device": Device(device_class="nvidia-l4", name="NVIDIA L4", use=use),
            "pipelines": [{"service": service, "uid": "u", "objectiveMs": 200, "attainment": 0.9875}],
            "streams": [
                {
                    "service": service,
                    "name": "door",
                    "source": "test://1x1",
                    "state": "stalled",
                    "fps": 14,
                    "reason": "no frame for 2 s",
                    "frames": frames,
                }
            ],
            "modules": [
                {
                    "service": service,
                    "name": "face",
                    "model": "centerface",
                    "serving": {"version": "1", "sha256": SHA},
                    "batch": {"size": 8, "max_wait_ms": 5, "since": 0},
                    "queue": 3,
                    "items": int(20 * seconds),
                    "latency_ms": {"infer": 4.25, "p50": 9, "p99": 31.04},
                }
            ],
        }
    )


NOTHING = DeviceLook()


def everything(_: str) -> bool:
    return True


def look(at: float, **states: ObservedState) -> Look:
    return Look(at, states)


def test_rates_are_the_difference_of_two_looks():
    found = usage(look(10.0, one=state(60)), look(12.0, one=state(62)), everything, NOTHING)
    (module,), (stream,) = found.modules, found.streams
    assert (module.items_per_second, stream.captured) == (20, 14)
    assert (stream.still, stream.delivered, stream.dropped) == (3, 10, 1)


@pytest.mark.parametrize("before", [None, look(10.0), look(10.0, one=state(60, started_at=99.0))])
def test_of_a_process_that_was_not_seen_before_no_rate_is_known(before: Look | None):
    found = usage(before, look(12.0, one=state(62)), everything, NOTHING)
    (module,), (stream,) = found.modules, found.streams
    assert (module.items_per_second, stream.delivered, stream.dropped) == (None, None, None)


def test_a_stream_that_was_declared_anew_has_no_rate():
    found = usage(look(10.0, one=state(60)), look(12.0, one=state(1)), everything, NOTHING)
    assert (found.modules[0].items_per_second, found.streams[0].delivered) == (None, None)


def test_only_services_that_are_meant_and_their_instances_are_shown():
    now = look(1.0, one=state(1), two=state(1, service="cameras/yard"))
    found = usage(None, now, lambda key: key == "cameras/yard", NOTHING)
    assert [each.instance for each in found.devices] == ["two"]
    assert {each.service for each in (*found.services, *found.modules, *found.streams)} == {"cameras/yard"}


def lines(table: object) -> list[list[str]]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return [line.split() for line in capture.get().splitlines() if line]


def test_a_table_shows_devices_services_modules_streams_and_what_is_wrong():
    now = Look(12.0, {"one": state(62, use=GPU)}, {"two": "it is starting"})
    devices = DeviceLook(device_views([Said("one", GPU, 5000.0)], (), 5001.0), "http://prometheus: HTTP 503")
    said = ["NVML", "(one),", "1", "s", "ago"]
    assert lines(render(usage(look(10.0, one=state(60)), now, everything, devices))) == [
        ["instance", "device", "busy", "of", "it", "ours", "others", "memory", "°C", "W", "as", "it", "says"],
        ["one", "NVIDIA", "L4", "(nvidia-l4)", "97%", "40%", "57%", "3072", "of", "24576", "MiB", "61", "70", *said],
        ["service", "objective", "ms", "within", "it"],
        ["cameras/lobby", "200", "98.75%"],
        ["module", "model", "batch", "items/s", "queue", "infer", "ms", "p50", "ms", "p99", "ms"],
        ["cameras/lobby/face", "centerface", "1", "8", "20.0", "3", "4.2", "9.0", "31.0"],
        ["stream", "state", "captured/s", "still/s", "delivered/s", "dropped/s"],
        ["cameras/lobby/door", "stalled", "14.0", "3.0", "10.0", "1.0"],
        ["Prometheus:", "http://prometheus:", "HTTP", "503"],
        ["two:", "it", "is", "starting"],
        ["one:", "its", "clocks", "are", "kept", "low:", "sw_power_cap"],
        ["cameras/lobby/door:", "no", "frame", "for", "2", "s"],
    ]


def test_what_is_not_known_is_left_out():
    shown = lines(render(usage(None, look(12.0, one=state(62)), everything, NOTHING)))
    assert ["one", "NVIDIA", "L4", "(nvidia-l4)"] in shown
    assert ["cameras/lobby/face", "centerface", "1", "8", "3", "4.2", "9.0", "31.0"] in shown


def run(*arguments: object):
    return CliRunner().invoke(build(()), ["top", *map(str, arguments)])


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "EVERY_S", 0.01)


def growing() -> Callable[[], str]:
    """What an instance answers: at each look a second older."""
    seconds = iter(range(60, 10_000))
    return lambda: state(next(seconds)).model_dump_json()


@pytest.fixture
def session(tmp_path: Path, state_home: Path) -> Iterator[Path]:
    """The state of a running `framepilot up` with one service."""
    services = tmp_path / "services"
    services.mkdir()
    write_declared(services, Record(parse_resource(service_document(), "test"), "u", 1, 0.0, "lobby.yaml"))
    with registered(state_home / "framepilot" / "up", [tmp_path / "lobby.yaml"], tmp_path):
        yield tmp_path


class TestSession:
    def test_the_instances_of_a_running_process_are_asked_twice(self, session):
        with answering(growing()) as address:
            cache = session / "instances" / "cameras.lobby" / "cache"
            cache.mkdir(parents=True)
            (cache / "listen").write_text(address)
            (session / "instances" / "cameras.yard").mkdir()
            found = json.loads(run("-o", "json").stdout)
        assert [each["instance"] for each in found["devices"]] == ["cameras.lobby"]
        assert found["modules"][0]["itemsPerSecond"] > 0
        assert found["silent"] == {"cameras.yard": "it is starting"}

    def test_a_prometheus_that_does_not_answer_is_named_and_the_instances_are_shown(self, session):
        with answering(growing()) as address:
            cache = session / "instances" / "cameras.lobby" / "cache"
            cache.mkdir(parents=True)
            (cache / "listen").write_text(address)
            result = run("--prometheus", f"http://{address}")
        assert result.exit_code == 0
        assert f"Prometheus: http://{address}: HTTP 404" in result.stdout
        assert "cameras.lobby" in result.stdout

    def test_an_address_that_is_none_is_refused(self):
        result = run("--prometheus", "localhost:9090")
        assert result.exit_code == 2
        assert "http://HOST:PORT" in result.stderr

    def test_one_that_does_not_answer_is_named_with_the_reason(self, session):
        cache = session / "instances" / "cameras.lobby" / "cache"
        cache.mkdir(parents=True)
        (cache / "listen").write_text("127.0.0.1:1")
        result = run()
        assert result.exit_code == 0
        assert result.stdout.splitlines()[0] == "no instance says what it does"
        assert "cameras.lobby: http://127.0.0.1:1/status: " in result.stdout

    def test_a_service_that_no_session_has_is_an_error(self, session):
        result = run("hall", "--local")
        assert (result.exit_code, result.stderr) == (1, "no running `framepilot up` has a service 'hall'\n")


@pytest.fixture
def api(kubeconfig) -> Iterator[ServiceApi]:
    with service_api() as api:
        write_kubeconfig(kubeconfig, api.url, namespace="cameras")
        yield api


class TestCluster:
    def test_pods_are_asked_through_the_api_server(self, api):
        api.pods = {"cameras/framepilot-lobby-1": growing(), "cameras/framepilot-yard-1": None, "north/it": growing()}
        result = run("-o", "json")
        assert result.stderr == f"context site ({api.url}), namespace cameras\n"
        found = json.loads(result.stdout)
        assert [each["instance"] for each in found["devices"]] == ["cameras/framepilot-lobby-1"]
        assert found["streams"][0]["delivered"] > 0
        assert found["silent"] == {"cameras/framepilot-yard-1": "its pod is Pending"}
        assert len(json.loads(run("-A", "-o", "json").stdout)["devices"]) == 2

    def test_one_service_is_shown(self, api):
        api.pods = {
            "cameras/a": growing(),
            "cameras/b": lambda: state(1, service="cameras/yard").model_dump_json(),
        }
        found = json.loads(run("yard", "-o", "json").stdout)
        assert {each["service"] for each in found["modules"]} == {"cameras/yard"}

    def test_a_pod_that_says_something_else_is_named(self, api):
        api.pods = {"cameras/a": lambda: "<html>"}
        assert "cameras/a: /status: " in run().stdout

    def test_whoever_may_not_ask_pods_is_told_which_right_is_missing(self, api):
        api.pods = {"cameras/a": growing()}
        text = 'pods "a" is forbidden: User "ada" cannot get resource "pods/proxy" in API group ""'
        api.refusals = {"proxy": (403, json.dumps({"kind": "Status", "message": text}))}
        result = run()
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == (
            f"context site: {text}; ask for a role with the verb 'get' on pods/proxy "
            "(to see it: kubectl auth can-i get pods/proxy --namespace cameras)"
        )
