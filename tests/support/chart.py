"""The Helm chart: as Helm renders it, where no cluster takes part, and in a cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from support.cluster import paths
from support.images.build import INFERENCE_APP, OPERATOR
from support.kubectl import Kubectl
from support.operator_release import CHART, NAME, HelmError

Manifest = dict[str, Any]
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Rendered:
    """All objects of a release."""

    objects: Sequence[Manifest]

    def all(self, kind: str) -> list[Manifest]:
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Manifest:
        """The only object of a kind, or the one of this name."""
        (found,) = [each for each in self.all(kind) if name in {None, each["metadata"]["name"]}]
        return found

    @property
    def pod(self) -> Manifest:
        """The template of the operator's pods."""
        return self.one("Deployment")["spec"]["template"]

    @property
    def container(self) -> Manifest:
        (found,) = self.pod["spec"]["containers"]
        return found


def render(
    values: Values | None = None, *, name: str = NAME, namespace: str = "operators", chart: Path = CHART
) -> Rendered:
    """What a release with these values consists of.

    Raises:
        HelmError: Helm does not render it.
    """
    text = _helm("template", name, str(chart), f"--namespace={namespace}", values=values or {})
    return Rendered([each for each in YAML(typ="safe").load_all(text) if each])


def rights(namespace: str) -> list[Manifest]:
    """The account of a release that works in its own namespace only, called NAME, and all that it may do."""
    rendered = render({"watchNamespaces": [namespace], "crds": {"install": False}}, namespace=namespace)
    return [each for kind in ("ServiceAccount", "Role", "RoleBinding") for each in rendered.all(kind)]


def notes(values: Values | None = None) -> str:
    """What Helm says to the person who has installed it."""
    options = ("--dry-run=client", "--output=json", "--namespace=operators")
    return json.loads(_helm("install", "framepilot", str(CHART), *options, values=values or {}))["info"]["notes"]


def image_values(images: Mapping[str, str]) -> Values:
    """The values that name these images, which are references by target."""
    parts = {"operator": images[OPERATOR].rpartition(":"), "inferenceApp": images[INFERENCE_APP].rpartition(":")}
    return {key: {"image": {"repository": repository, "tag": tag}} for key, (repository, _, tag) in parts.items()}


def install(kubectl: Kubectl, name: str, values: Values) -> None:
    """Have a release in kubectl's namespace, and wait until it is ready.

    Raises:
        HelmError: it is not ready in time, or cannot be installed.
    """
    options = ("--wait", "--timeout=5m")
    _helm("upgrade", "--install", name, str(CHART), *_where(kubectl), *options, values=values)


def uninstall(kubectl: Kubectl, name: str) -> None:
    _helm("uninstall", name, *_where(kubectl), "--wait", "--ignore-not-found", values=None)


def _where(kubectl: Kubectl) -> tuple[str, ...]:
    return (f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={kubectl.namespace}")


def _helm(*args: str, values: Values | None) -> str:
    command = [str(paths.HELM), *args, *(() if values is None else ("--values=-",))]
    given = None if values is None else json.dumps(values)
    done = subprocess.run(command, input=given, text=True, capture_output=True, timeout=400, check=False)
    if done.returncode != 0:
        raise HelmError(done.stderr)
    return done.stdout
