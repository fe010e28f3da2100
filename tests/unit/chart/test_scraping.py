"""What docs/monitoring.md says to a Prometheus without its operator, tried by promtool."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from framepilot_operator.manifests.names import labels
from framepilot_operator.manifests.owner import Owner
from support.prometheus import program

PAGE = Path(__file__).parents[3] / "docs" / "monitoring.md"
OPERATOR = {"app.kubernetes.io/name": "framepilot", "app.kubernetes.io/component": "operator"}
DISCOVERY = "    kubernetes_sd_configs:\n      - role: pod\n"


def scraped(folder: Path, pod: dict[str, str], port: str) -> dict[str, str] | None:
    """The labels of what is scraped of a pod with these labels; None if nothing is.

    Debian builds Prometheus without what finds pods, so what it would have found stands in the configuration.
    """
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert DISCOVERY in shown
    found = {f"__meta_kubernetes_pod_label_{re.sub(r'[^a-zA-Z0-9]', '_', name)}": value for name, value in pod.items()}
    found |= {"__meta_kubernetes_namespace": "shop", "__meta_kubernetes_pod_name": "door-1"}
    found |= {"__meta_kubernetes_pod_container_port_name": port}
    static = f"    static_configs: {json.dumps([{'targets': ['10.0.0.1:8080'], 'labels': found}])}\n"
    file = folder / "prometheus.yaml"
    file.write_text(shown.replace(DISCOVERY, static))
    command = [program("promtool"), "check", "service-discovery", "--timeout=1s", file, "framepilot"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=True)
    (target,) = json.loads(done.stdout)
    return target["labels"] or None


@pytest.mark.parametrize("pod", [labels(Owner.service("shop/door")), OPERATOR], ids=["instance", "operator"])
def test_a_pod_of_framepilot_is_scraped_and_called_by_its_name(tmp_path: Path, pod: dict[str, str]) -> None:
    target = scraped(tmp_path, pod, "http")
    assert target is not None
    assert {name: target[name] for name in ("namespace", "pod", "instance")} == {
        "namespace": "shop",
        "pod": "door-1",
        "instance": "shop/door-1",
    }


def test_nothing_else_is(tmp_path: Path) -> None:
    assert scraped(tmp_path, {"app.kubernetes.io/name": "mosquitto"}, "http") is None
    assert scraped(tmp_path, OPERATOR, "other") is None
