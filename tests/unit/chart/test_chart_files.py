"""What the chart says in several places, it says alike; Helm takes no part here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from framepilot.resources.parse import parse_resource

ROOT = Path(__file__).parents[3]
GENERATE = ROOT / "charts" / "generate.py"
CHART = ROOT / "charts" / "framepilot"
EXAMPLE = ROOT / "examples" / "kubernetes" / "one-camera.yaml"


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def schema() -> dict[str, Any]:
    return json.loads((CHART / "values.schema.json").read_text())


def generate(chart: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, GENERATE, chart, *options], capture_output=True, text=True, check=False)


def objects(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a JSON schema that describes an object."""
    if isinstance(node, list):
        for number, each in enumerate(node):
            yield from objects(each, f"{path}[{number}]")
    elif isinstance(node, dict):
        if node.get("type") == "object":
            yield path, node
        for key, value in node.items():
            yield from objects(value, f"{path}.{key}")


def described(node: dict[str, Any], path: str = "") -> Iterator[str]:
    """The paths of the values that a JSON schema describes."""
    for name, property_ in node.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        if "description" in property_:
            yield here
        else:
            yield from described(property_, here)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The chart's values with one of them changed; it need not be there."""
    values = node = deepcopy(read(CHART / "values.yaml"))
    *parents, name = path.split(".")
    for parent in parents:
        node = node[parent]
    node[name] = value
    return values


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHART, tmp_path / "framepilot"))


def test_everything_generated_agrees_with_what_it_is_generated_from() -> None:
    done = generate(CHART, "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("values.yaml", "How many operators are started", "How many there are"),
        ("values.yaml", "\nreplicas: 1\n", "\nreplicas: 2\n"),
        ("README.md", "| `replicas` |", "| `replica` |"),
        ("values.schema.json", "How many operators", "How few operators"),
        ("templates/crds/modelprofiles.framepilot.dev.yaml", "helm.sh/resource-policy: keep", "a: b"),
    ],
)
def test_what_does_not_agree_is_found_and_written_anew(copy: Path, file: str, before: str, after: str) -> None:
    text = (copy / file).read_text()
    assert before in text
    (copy / file).write_text(text.replace(before, after))
    assert generate(copy, "--check").returncode == 1
    assert generate(copy).returncode == 0
    assert generate(copy, "--check").returncode == 0


def test_a_crd_that_is_gone_is_removed_from_the_templates(copy: Path) -> None:
    (copy / "templates" / "crds" / "old.yaml").write_text("kind: CustomResourceDefinition\n")
    assert "old.yaml" in generate(copy, "--check").stderr
    assert generate(copy).returncode == 0
    assert not (copy / "templates" / "crds" / "old.yaml").exists()


@pytest.mark.parametrize(
    ("addition", "says"),
    [
        ("\nunexplained: 1\n", "does not describe unexplained"),
        ("\n# -- Explained, but not in the schema.\nunknown: 1\n", "does not know unknown"),
    ],
)
def test_a_value_without_a_description_or_a_schema_is_refused(copy: Path, addition: str, says: str) -> None:
    with (copy / "values.yaml").open("a") as file:
        file.write(addition)
    done = generate(copy, "--check")
    assert done.returncode == 1
    assert says in done.stderr


def test_the_schema_and_the_readme_describe_the_same_values() -> None:
    readme = re.findall(r"^\| `([\w.]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE)
    assert sorted(readme) == sorted(set(described(schema())) - {"global"})
    assert len(readme) > 20


def test_the_schema_is_one_and_strict() -> None:
    Draft7Validator.check_schema(schema())
    loose = [path for path, node in objects(schema()) if "additionalProperties" not in node]
    # Helm's own, and what the API server checks better.
    assert loose == [
        ".properties.global",
        *(f".properties.affinity.properties.{each}Affinity" for each in ("node", "pod", "podAnti")),
        *(f".definitions.peers.items.properties.{each}Selector" for each in ("pod", "namespace")),
    ]


def test_the_values_of_the_chart_are_valid() -> None:
    Draft7Validator(schema()).validate(read(CHART / "values.yaml"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("operator.image.repository", "registry.example/operator"),
        ("operator.image.repository", "127.0.0.1:5000/team/framepilot-operator"),
        ("operator.image.tag", "v1.2_3-rc.1"),
        ("imagePullSecrets", [{"name": "pull.secret"}]),
        ("prices", {"cpu": "0.05", "nvidia-h100-80gb-hbm3": "12", "free": "0"}),
        ("watchNamespaces", ["cameras", "a-1"]),
        ("resources", {}),
        ("resources", {"limits": {"cpu": 2, "memory": "1Gi", "example.com/gpu": "1"}}),
        ("tolerations", [{"operator": "Exists"}]),
        ("podMonitor.interval", "1m30s"),
        ("prometheusRule.runbooks", "https://example.com/framepilot/runbooks"),
        ("prometheusRule.without", ["FramepilotFramesSuperseded"]),
        ("prometheusRule.thresholds.attainmentRatio", 1),
        ("dashboards.namespace", "grafana"),
        ("networkPolicy.from", [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]),
        ("networkPolicy.instancesEgress", [{"to": [{"podSelector": {}}], "ports": [{"port": 554}]}]),
        ("global", {"anything": 1}),
    ],
)
def test_right_values_are_valid(path: str, value: Any) -> None:
    Draft7Validator(schema()).validate(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("replica", 2),
        ("operator.tag", "1"),
        ("operator.image.repository", ""),
        ("operator.image.repository", "registry.example/operator:1"),
        ("operator.image.repository", "Registry/Operator"),
        ("operator.image.tag", 1.2),
        ("operator.image.tag", "a b"),
        ("operator.image.pullPolicy", "always"),
        ("inferenceApp.image.pullPolicy", ""),
        ("imagePullSecrets", ["secret"]),
        ("imagePullSecrets", [{}]),
        ("prices", ["cpu=0.05"]),
        ("prices", {"cpu": 0.05}),
        ("prices", {"cpu": "-1"}),
        ("prices", {"cpu": "NaN"}),
        ("prices", {"NVIDIA T4": "0.35"}),
        ("watchNamespaces", "cameras"),
        ("watchNamespaces", ["a", "a"]),
        ("watchNamespaces", ["Cameras"]),
        ("watchNamespaces", [""]),
        ("watchNamespaces", ["a" * 64]),
        ("replicas", "1"),
        ("replicas", -1),
        ("replicas", 1.5),
        ("leaderElection", "true"),
        ("logLevel", "verbose"),
        ("resources", {"claims": []}),
        ("resources", {"requests": {"cpu": True}}),
        ("crds.install", "yes"),
        ("crds.keep", None),
        ("serviceAccount.name", "A"),
        ("serviceAccount.annotations", {"a": 1}),
        ("podAnnotations", {"a": True}),
        ("nodeSelector", ["a"]),
        ("tolerations", [{"effect": "Never"}]),
        ("affinity", {"nodeAfinity": {}}),
        ("podMonitor.enabled", 1),
        ("podMonitor.labels", {"release": 1}),
        ("podMonitor.interval", "30"),
        ("prometheusRule.runbooks", "docs/runbooks"),
        ("prometheusRule.without", ["objective"]),
        ("prometheusRule.thresholds.attainmentRatio", 95),
        ("prometheusRule.thresholds.sinkEventsDropped", "0"),
        ("prometheusRule.thresholds.latency", 1),
        ("dashboards.namespace", "Grafana"),
        ("dashboards.labels", {"grafana_dashboard": 1}),
        ("networkPolicy.enabled", "on"),
        ("networkPolicy.from", [{}]),
        ("networkPolicy.from", [{"cidr": "10.0.0.0/8"}]),
        ("networkPolicy.apiServerPorts", []),
        ("networkPolicy.apiServerPorts", [65536]),
        ("networkPolicy.instancesEgress", [{"from": []}]),
    ],
)
def test_wrong_values_are_not(path: str, value: Any) -> None:
    assert not Draft7Validator(schema()).is_valid(changed(path, value))


def test_the_chart_is_of_the_version_of_the_operator() -> None:
    chart = read(CHART / "Chart.yaml")
    project = tomllib.loads((ROOT / "operator" / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]
    assert chart["annotations"]["artifacthub.io/license"] == project["license"]


def test_artifact_hub_is_told_of_each_resource_type() -> None:
    told = YAML(typ="safe").load(read(CHART / "Chart.yaml")["annotations"]["artifacthub.io/crds"])
    there = [read(path)["spec"] for path in sorted((ROOT / "crds").glob("*.yaml"))]
    assert [(each["kind"], each["name"], each["version"], each["description"]) for each in told] == [
        (
            each["names"]["kind"],
            f"{each['names']['plural']}.{each['group']}",
            each["versions"][0]["name"],
            each["versions"][0]["schema"]["openAPIV3Schema"]["description"],
        )
        for each in there
    ]


def test_the_examples_on_artifact_hub_are_valid() -> None:
    examples = YAML(typ="safe").load(read(CHART / "Chart.yaml")["annotations"]["artifacthub.io/crdsExamples"])
    assert examples
    for example in examples:
        parse_resource(example, "Chart.yaml")


def test_the_service_in_the_notes_is_the_example_of_one_camera() -> None:
    (shown,) = re.findall(
        r"<<'END'\n(.*?)^END$", (CHART / "templates" / "NOTES.txt").read_text(), re.MULTILINE | re.DOTALL
    )
    assert YAML(typ="safe").load(shown) == read(EXAMPLE)
    parse_resource(read(EXAMPLE), "NOTES.txt")


def test_what_a_crd_says_in_braces_is_not_taken_for_a_template(copy: Path) -> None:
    # The generator stands outside of every package.
    code = (
        "import runpy, sys; generate = runpy.run_path(sys.argv[1]); "
        "sys.stdout.write(generate['crd_template'](sys.stdin.read()))"
    )
    crd = (
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: a.b\n"
        "spec:\n  description: as {{ x }} here\n"
    )
    done = subprocess.run([sys.executable, "-c", code, GENERATE], input=crd, capture_output=True, text=True, check=True)
    assert '  description: as {{ "{{" }} x {{ "}}" }} here\n' in done.stdout
