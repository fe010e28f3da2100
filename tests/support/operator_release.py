"""The operator on a cluster, installed as the README says."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from support.images.build import INFERENCE_APP, OPERATOR
from support.kubectl import Kubectl, until

CHART = Path(__file__).parents[2] / "charts" / "framepilot"
NAMESPACE = "framepilot-system"
NAME = "framepilot"
WRITING = {"create", "patch", "delete"}


class HelmError(Exception):
    """helm failed: what it was asked, what it said."""


@dataclass
class OperatorRelease:
    """One release of the chart."""

    kubectl: Kubectl
    images: Mapping[str, str]
    """References by target."""
    helm: Path

    def install(self, *options: str) -> None:
        """Install or upgrade it, and wait until it is ready."""
        self.run_helm(
            "upgrade",
            "--install",
            NAME,
            str(CHART),
            "--create-namespace",
            *_image("operator.image", self.images[OPERATOR]),
            *_image("inferenceApp.image", self.images[INFERENCE_APP]),
            "--wait",
            "--timeout=10m",
            *options,
        )

    def uninstall(self) -> None:
        self.run_helm("uninstall", NAME, "--wait", "--ignore-not-found")

    def run_helm(self, *args: str) -> str:
        """What helm prints.

        Raises:
            HelmError: its exit status is not 0.
        """
        kubeconfig = self.kubectl.kubeconfig
        which = [] if kubeconfig is None else [f"--kubeconfig={kubeconfig}"]
        done = subprocess.run(
            [str(self.helm), *which, f"--namespace={NAMESPACE}", *args],
            text=True,
            capture_output=True,
            timeout=900,
            check=False,
        )
        if done.returncode != 0:
            raise HelmError(f"helm {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    @property
    def system(self) -> Kubectl:
        """kubectl in the operator's namespace."""
        return self.kubectl.within(NAMESPACE)

    def deployment(self) -> str:
        """The name of the operator's Deployment."""
        return self.system.get("deployments", selector=f"app.kubernetes.io/instance={NAME}")["items"][0]["metadata"][
            "name"
        ]

    def scale(self, replicas: int) -> None:
        """So many operators; returns when there are exactly so many, ready."""
        name = self.deployment()
        self.system("scale", f"deployment/{name}", f"--replicas={replicas}")
        until(
            f"{replicas} operators",
            lambda: len(self.pods()) == replicas and self._ready(name) == replicas,
        )

    def pods(self) -> list[str]:
        """The names of its pods, those that end included."""
        items = self.system.get("pods", selector=f"app.kubernetes.io/instance={NAME}")["items"]
        return [item["metadata"]["name"] for item in items]

    def logs(self) -> str:
        return self.system("logs", f"deployment/{self.deployment()}", "--tail=-1")

    def leader(self) -> str | None:
        """The pod that holds the lease, if any of its pods does."""
        holder = self.system.get("lease", "framepilot-operator")["spec"].get("holderIdentity") or ""
        return next((pod for pod in self.pods() if holder.startswith(pod)), None)

    def metrics(self) -> str:
        """What the leader says on /metrics, through the API server's proxy."""
        pod = until("a leader", self.leader)
        return self.system("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics")

    def api_writes(self) -> Counter[tuple[str, str]]:
        """How often the leader wrote to the API server so far, by verb and kind, without its lease."""
        samples = _samples(self.metrics(), "framepilot_operator_api_requests_total")
        return Counter(
            {
                (sample.labels["verb"], sample.labels["kind"]): round(sample.value)
                for sample in samples
                if sample.labels["verb"] in WRITING and sample.labels["kind"] != "leases"
            }
        )

    def passes(self) -> int:
        """How often the leader looked at everything so far."""
        return round(sum(sample.value for sample in _samples(self.metrics(), "framepilot_operator_passes_total")))

    def device_sources(self) -> dict[str, bool]:
        """By source of what the leader knows of devices: whether it says something."""
        samples = _samples(self.metrics(), "framepilot_operator_device_source_up")
        return {sample.labels["source"]: sample.value == 1 for sample in samples}

    def _ready(self, name: str) -> int:
        return self.system.get("deployment", name)["status"].get("readyReplicas", 0)


def _image(value: str, reference: str) -> list[str]:
    repository, _, tag = reference.rpartition(":")
    return ["--set", f"{value}.repository={repository}", "--set", f"{value}.tag={tag}"]


def _samples(metrics: str, name: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(metrics):
        yield from (sample for sample in family.samples if sample.name == name)
