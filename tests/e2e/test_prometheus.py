"""A Prometheus in a pod: it scrapes operator and instance, evaluates the chart's rules, and the operator asks it.

The instance is on a CPU, with a `libnvidia-ml.so.1` built for tests, whose GPU does not say how busy it is. Who else
says so, NVIDIA's exporter or an instance that nobody here knows, is this process: Prometheus scrapes it as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from framepilot_operator.telemetry.device_view import FRESH_S
from support.chart import render
from support.cluster import paths, settings
from support.device_target import DeviceTarget
from support.framepilot_command import Framepilot
from support.images import servers
from support.images.registry import Registry
from support.kubectl import Kubectl, until
from support.namespaces import new_namespace
from support.nvml import library
from support.nvml.library import A_GPU, NvmlState
from support.operator_release import NAME, NAMESPACE, OperatorRelease
from support.prometheus import PrometheusApi, configuration
from support.server_pods import ServerPod, camera_pod, prometheus_pod
from support.site import FPS, KIND, Site, site_in

UUID = A_GPU["uuid"]
EXPORTER = f'DCGM_FI_DEV_GPU_UTIL{{gpu="0",UUID="{UUID}",Hostname="node-a"}} 75\n'
INSTANCE = (
    f'framepilot_device_info{{device_class="a-gpu",device="A GPU",uuid="{UUID}"}} 1\n'
    'framepilot_device_utilization_ratio{source="nvml"} 0.65\n'
)
AWAY = "FramepilotStreamStalled"


@dataclass(frozen=True)
class Watched:
    """The service `lobby` with a lossless stream and a camera, who watches it, and what is told of its GPU."""

    site: Site
    camera: ServerPod
    prometheus: ServerPod
    told: DeviceTarget

    @property
    def api(self) -> PrometheusApi:
        return PrometheusApi(f"http://{self.prometheus.address(self.site.kubectl)}:{self.prometheus.port}")

    @property
    def service(self) -> str:
        return f"{self.site.kubectl.namespace}/lobby"

    def start_prometheus(self) -> None:
        self.prometheus.start(self.site.kubectl)
        until("Prometheus to be ready", self.api.ready)

    def declare(self) -> None:
        """Declare it, and wait until it is ready. The folder of results has the library, and what that one says."""
        spec = self.site.service("lobby")["spec"]
        door, template = spec["streams"][0], spec["template"]
        variables = {
            "LD_LIBRARY_PATH": "/results",
            "FRAMEPILOT_NVML_STATE": "/results/gpu",
            "FRAMEPILOT_NVML_DEVICE": "0",
        }
        env = [{"name": name, "value": value} for name, value in variables.items()]
        yard = {"name": "yard", "source": "rtsp://camera:8554/main", "timeout": "2s"}
        self.site.declare("lobby", streams=[door, yard], template={**template, "env": env})
        self.site.wait_ready("lobby")


@pytest.fixture(scope="module")
def namespace(kubectl: Kubectl) -> Iterator[Kubectl]:
    with new_namespace(kubectl) as made:
        yield made


@pytest.fixture(scope="module")
def watched(operator: OperatorRelease, namespace: Kubectl, servers_image: str) -> Iterator[Watched]:
    """All of it runs, and the operator asks Prometheus."""
    image = servers.publish(Registry(paths.REGISTRY), os.environ, servers.PROMETHEUS)
    told = DeviceTarget(settings.NODE_ADDRESS)
    targets = {
        f"{namespace.namespace}/lobby": f"framepilot-lobby.{namespace.namespace}.svc:8080",
        f"{NAMESPACE}/operator": f"{NAME}.{NAMESPACE}.svc:8080",
        "elsewhere/told": told.address,
    }
    prometheus = prometheus_pod(image, configuration(targets), json.dumps(rules()))
    with closing(told), site_in(namespace) as site:
        library.build(site.results)
        NvmlState(site.results / "gpu").remove("utilization")
        made = Watched(site, camera_pod(servers_image), prometheus, told)
        made.camera.start(namespace)
        made.start_prometheus()
        try:
            operator.install("--set", f"prometheus.url=http://prometheus.{namespace.namespace}.svc:{prometheus.port}")
            made.declare()
            yield made
        finally:
            operator.install()


def rules() -> dict[str, Any]:
    """Those of the chart, but that the alert of a stream that is away does not wait for two minutes."""
    spec = render({"prometheusRule": {"enabled": True}}).one("PrometheusRule")["spec"]
    (away,) = [rule for group in spec["groups"] for rule in group["rules"] if rule.get("alert") == AWAY]
    away["for"] = "1s"
    return spec


def busy(watched: Watched, framepilot: Framepilot) -> dict[str, Any]:
    """How busy the service's device is, as a person sees it who names Prometheus; empty while nobody says so."""
    done = framepilot("explain", "lobby", "--output=json", f"--prometheus={watched.api.url}")
    assert done.returncode == 0, done.stderr
    device = json.loads(done.stdout)["device"]
    return (device and device["utilization"]) or {}


def by(source: str, value: dict[str, Any]) -> dict[str, Any] | None:
    """The value if it is from this source."""
    return value if value.get("source", "").startswith(source) else None


def test_every_target_is_scraped(watched: Watched) -> None:
    until("each target to be scraped", lambda: len(watched.api.query("up == 1")) == 3)
    until("frames", lambda: watched.api.query(f'framepilot_frames_delivered_total{{service="{watched.service}"}} > 0'))
    until("the leader", lambda: watched.api.query("framepilot_operator_is_leader == 1"))


def test_the_operator_that_is_told_of_a_server_hears_it(watched: Watched, operator: OperatorRelease) -> None:
    heard = {"instances": True, "prometheus": True}
    until("the operator to hear Prometheus", lambda: operator.device_sources() == heard)
    # It says so to whom it asks, too.
    up = 'framepilot_operator_device_source_up{source="prometheus"} == 1'
    until("Prometheus to know", lambda: watched.api.query(up))


@pytest.mark.parametrize(
    ("text", "source", "value"),
    [(EXPORTER, "DCGM exporter (node-a)", 0.75), (INSTANCE, "Prometheus (elsewhere/told)", 0.65)],
    ids=["an exporter", "an instance"],
)
def test_what_an_instance_cannot_say_of_its_device_comes_from_prometheus_with_source_and_age(
    watched: Watched, framepilot: Framepilot, text: str, source: str, value: float
) -> None:
    watched.told.text = text
    found = until(source, lambda: by(source, busy(watched, framepilot)))
    assert found["value"] == value
    assert 0 <= found["ageS"] <= FRESH_S

    def shown() -> bool:
        text = " ".join(framepilot("explain", "lobby", f"--prometheus={watched.api.url}").stdout.split())
        return f"Its device is {value:.0%} busy" in text and f": {source}, " in text

    until("a person to be shown it", shown)


def test_every_recording_rule_has_a_value_of_the_service(watched: Watched) -> None:
    records = [rule["name"] for rule in watched.api.rules() if rule["type"] == "recording"]
    assert len(records) == sum("record" in rule for group in rules()["groups"] for rule in group["rules"])
    for record in records:
        of_ours = f'{record}{{namespace="{watched.site.kubectl.namespace}"}}'
        until(f"a value of {record}", lambda query=of_ours: watched.api.numbers(query))
    until("all rules to be evaluated", lambda: {rule["health"] for rule in watched.api.rules()} == {"ok"})


def test_a_camera_that_is_away_fires_an_alert_until_it_is_back(watched: Watched) -> None:
    def at_rest() -> bool:
        running = watched.api.query('framepilot_stream_state{stream="yard",state="running"} == 1')
        return bool(running) and not watched.api.firing(AWAY)

    until("the camera to be seen", at_rest)
    watched.camera.stop(watched.site.kubectl)
    (alert,) = until("an alert", lambda: watched.api.firing(AWAY))
    assert (alert["labels"]["service"], alert["labels"]["stream"]) == (watched.service, "yard")
    assert alert["annotations"]["summary"] == f"The stream yard of {watched.service} gives no frames."
    watched.camera.start(watched.site.kubectl)
    until("no alert", at_rest)


def test_a_prometheus_that_goes_away_makes_the_view_poorer_and_costs_no_frame(
    watched: Watched, operator: OperatorRelease, framepilot: Framepilot
) -> None:
    site = watched.site
    watched.told.text = EXPORTER
    until("the operator to hear Prometheus", lambda: operator.device_sources()["prometheus"])
    container = site.container("lobby")
    watched.prometheus.stop(site.kubectl)
    silent = {"instances": True, "prometheus": False}
    until("the operator to miss Prometheus", lambda: operator.device_sources() == silent)
    poorer = until("the instance's own word", lambda: by("device thread (", busy(watched, framepilot)))
    assert 0 <= poorer["ageS"] <= FRESH_S
    done = framepilot("explain", "lobby", f"--prometheus={watched.api.url}")
    assert done.returncode == 0
    assert f"Prometheus: {watched.api.url}: " in done.stderr

    ledger = site.ledger_beyond_now("lobby", frames=10 * FPS)
    assert ledger.whole
    assert ledger.epochs == 1
    assert site.kubectl.condition(KIND, "lobby", "Ready")["status"] == "True"
    assert site.container("lobby") == container

    watched.start_prometheus()
    until("the operator to hear Prometheus again", lambda: operator.device_sources()["prometheus"])
