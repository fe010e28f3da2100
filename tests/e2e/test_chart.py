"""What the chart makes of its values: each one does what it says, and nothing is there that is not needed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from framepilot_operator.manifests.names import labels
from framepilot_operator.manifests.owner import Owner
from support.api_schemas import FILE_NAMES, write_schemas
from support.chart import Rendered, Values, notes, render
from support.cluster import paths
from support.kubectl import Kubectl
from support.operator_release import CHART, HelmError
from support.prometheus import rules

CRDS = Path(__file__).parents[2] / "crds"

EVERYTHING: Values = {
    "imagePullSecrets": [{"name": "pull"}],
    "replicas": 3,
    "serviceAccount": {"annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
            }
        }
    },
}
VARIANTS: dict[str, Values] = {
    "defaults": {},
    "everything": EVERYTHING,
    "restricted": {"networkPolicy": {"enabled": True, "from": [{"podSelector": {}}], "instancesEgress": [{}]}},
    "namespaces": {"watchNamespaces": ["default", "kube-public"], **EVERYTHING},
    "dashboards": {"dashboards": {"enabled": True, "annotations": {"grafana_folder": "Framepilot"}}},
    "alone": {"leaderElection": False, "serviceAccount": {"create": False}, "crds": {"install": False}},
}

each_variant = pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())


def arguments(rendered: Rendered, option: str) -> list[str]:
    """What an option of the operator is given; the options without a value by their name."""
    found = [each.partition("=") for each in rendered.container["args"]]
    return [value or name for name, _, value in found if name.removeprefix("--no-") == option.removeprefix("--")
            or name == option]  # fmt: skip


def spec(field: str) -> Callable[[Rendered], Any]:
    """A field of the operator's pods."""
    return lambda rendered: rendered.pod["spec"].get(field)


def metadata(kind: str, field: str) -> Callable[[Rendered], Any]:
    return lambda rendered: [each["metadata"].get(field) for each in rendered.all(kind)]


def kinds(*names: str) -> Callable[[Rendered], Any]:
    """How many objects there are of these kinds."""
    return lambda rendered: [len(rendered.all(name)) for name in names]


def policy(rendered: Rendered, whose: str) -> dict[str, Any]:
    return rendered.one("NetworkPolicy", f"framepilot-{whose}")["spec"]


def peers(rendered: Rendered) -> list[list[dict[str, Any]]]:
    """Who may connect to the operator, and who to instances."""
    allowed = [policy(rendered, whose)["ingress"] for whose in ("operator", "instances")]
    return [[peer for rule in rules for peer in rule["from"]] for rules in allowed]


def kept(rendered: Rendered) -> list[bool]:
    return [
        each["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
        for each in rendered.all("CustomResourceDefinition")
    ]


def account(rendered: Rendered) -> tuple[str, set[str]]:
    """Whose rights the pods have, and whose rights are granted."""
    bindings = [each for kind in ("RoleBinding", "ClusterRoleBinding") for each in rendered.all(kind)]
    return rendered.pod["spec"]["serviceAccountName"], {each["subjects"][0]["name"] for each in bindings}


def mounted(option: str) -> Callable[[Rendered], Any]:
    """What the operator reads as the file of an option: the object's name, the key in it, the file's name."""

    def look(rendered: Rendered) -> list[tuple[str, str, str]]:
        found = []
        for given in arguments(rendered, option):
            folder, _, file = given.rpartition("/")
            (name,) = (each["name"] for each in rendered.container["volumeMounts"] if each["mountPath"] == folder)
            (volume,) = (each for each in rendered.pod["spec"]["volumes"] if each["name"] == name)
            source = volume.get("secret") or volume["configMap"]
            found += [
                (source.get("secretName") or source["name"], each["key"], each["path"]) for each in source["items"]
            ]
            assert found[-1][2] == file
        return found

    return look


def monitors(field: str) -> Callable[[Rendered], Any]:
    return lambda rendered: [each["spec"]["podMetricsEndpoints"][0].get(field) for each in rendered.all("PodMonitor")]


def alerts(rendered: Rendered) -> dict[str, dict[str, Any]]:
    groups = rendered.one("PrometheusRule")["spec"]["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def runbook(rendered: Rendered) -> str | None:
    return alerts(rendered)["FramepilotObjectiveMissed"]["annotations"].get("runbook_url")


def threshold(alert: str) -> Callable[[Rendered], Any]:
    """What the expression of an alert ends with."""
    return lambda rendered: alerts(rendered)[alert]["expr"].rpartition(" ")[2]


def nested(path: str, value: Any) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def merged(values: Values, more: Values) -> Values:
    """Both; where both say something, what the second says."""
    both = values.keys() & more.keys()
    deeper = {name: merged(values[name], more[name]) for name in both if isinstance(values[name], dict)}
    return {**values, **more, **deeper}


OPERATOR = "framepilot-operator:0.1.0"
APP = "framepilot-inference-app:0.1.0"
TOLERATION = {"key": "camera", "operator": "Exists", "effect": "NoSchedule"}
LIMITS = {"limits": {"memory": "1Gi"}}
ENABLED = {"enabled": True}
PROMETHEUS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
OPERATORS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "operators"}},
    "podSelector": {
        "matchLabels": {
            "app.kubernetes.io/name": "framepilot",
            "app.kubernetes.io/instance": "framepilot",
            "app.kubernetes.io/component": "operator",
        }
    },
}
ASKED = "https://prometheus.example"
TO_CAMERAS = {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 554, "protocol": "TCP"}]}
CHANGES: list[tuple[str, Any, Callable[[Rendered], Any], Any, Any]] = [
    ("operator.image.repository", "a.example/op", lambda r: r.container["image"], OPERATOR, "a.example/op:0.1.0"),
    ("operator.image.tag", "7", lambda r: r.container["image"], OPERATOR, "framepilot-operator:7"),
    ("operator.image.pullPolicy", "Always", lambda r: r.container["imagePullPolicy"], "IfNotPresent", "Always"),
    ("inferenceApp.image.repository", "a.example/app", lambda r: arguments(r, "--app-image"), [APP],
     ["a.example/app:0.1.0"]),
    ("inferenceApp.image.tag", "7", lambda r: arguments(r, "--app-image"), [APP], ["framepilot-inference-app:7"]),
    ("inferenceApp.image.pullPolicy", "Never", lambda r: arguments(r, "--image-pull-policy"), ["IfNotPresent"],
     ["Never"]),
    ("imagePullSecrets", [{"name": "pull"}], spec("imagePullSecrets"), None, [{"name": "pull"}]),
    ("imagePullSecrets", [{"name": "pull"}], lambda r: arguments(r, "--image-pull-secret"), [], ["pull"]),
    ("prices", {"cpu": "0.05", "t4": "1"}, lambda r: arguments(r, "--price"), [], ["cpu=0.05", "t4=1"]),
    ("watchNamespaces", ["a", "b"], lambda r: arguments(r, "--namespace"), [], ["a", "b"]),
    ("replicas", 2, lambda r: r.one("Deployment")["spec"]["replicas"], 1, 2),
    ("replicas", 2, lambda r: len(spec("topologySpreadConstraints")(r) or []), 0, 1),
    ("leaderElection", False, lambda r: arguments(r, "--leader-elect"), ["--leader-elect"], ["--no-leader-elect"]),
    ("leaderElection", False, lambda r: r.one("Deployment")["spec"]["strategy"]["type"], "RollingUpdate", "Recreate"),
    ("leaderElection", False, kinds("Role", "RoleBinding"), [1, 1], [0, 0]),
    ("logLevel", "debug", lambda r: arguments(r, "--log-level"), ["info"], ["debug"]),
    ("resources", LIMITS, lambda r: r.container["resources"]["limits"]["memory"], "512Mi", "1Gi"),
    ("crds.install", False, kinds("CustomResourceDefinition", "ClusterRole"), [3, 3], [0, 1]),
    ("crds.keep", False, kept, [True] * 3, [False] * 3),
    ("serviceAccount.create", False, kinds("ServiceAccount"), [1], [0]),
    ("serviceAccount.create", False, account, ("framepilot", {"framepilot"}), ("default", {"default"})),
    ("serviceAccount.name", "pilot", account, ("framepilot", {"framepilot"}), ("pilot", {"pilot"})),
    ("serviceAccount.name", "pilot", metadata("ServiceAccount", "name"), ["framepilot"], ["pilot"]),
    ("serviceAccount.annotations", {"a": "b"}, metadata("ServiceAccount", "annotations"), [None], [{"a": "b"}]),
    ("podAnnotations", {"a": "b"}, lambda r: r.pod["metadata"]["annotations"].get("a"), None, "b"),
    ("nodeSelector", {"a": "b"}, spec("nodeSelector"), None, {"a": "b"}),
    ("tolerations", [TOLERATION], spec("tolerations"), None, [TOLERATION]),
    ("affinity", {"podAffinity": {}}, spec("affinity"), None, {"podAffinity": {}}),
    ("prometheus.url", ASKED, lambda r: arguments(r, "--prometheus"), [], [ASKED]),
    ("prometheus.token.secret", "its-token", mounted("--prometheus-token-file"), [],
     [("its-token", "token", "token")]),
    ("prometheus.token.key", "bearer", mounted("--prometheus-token-file"), [("its-token", "token", "token")],
     [("its-token", "bearer", "token")]),
    ("prometheus.ca.configMap", "its-ca", mounted("--prometheus-ca-file"), [], [("its-ca", "ca.crt", "ca.crt")]),
    ("prometheus.ca.key", "root.pem", mounted("--prometheus-ca-file"), [("its-ca", "ca.crt", "ca.crt")],
     [("its-ca", "root.pem", "ca.crt")]),
    ("podMonitor.enabled", True, kinds("PodMonitor"), [0], [2]),
    ("podMonitor.labels", {"a": "b"}, lambda r: [each["metadata"]["labels"].get("a") for each in r.all("PodMonitor")],
     [None, None], ["b", "b"]),
    ("podMonitor.interval", "5s", monitors("interval"), [None, None], ["5s", "5s"]),
    ("prometheusRule.enabled", True, kinds("PrometheusRule"), [0], [1]),
    ("prometheusRule.labels", {"a": "b"}, lambda r: r.one("PrometheusRule")["metadata"]["labels"].get("a"), None, "b"),
    ("prometheusRule.runbooks", "https://a.example/b/", runbook, None,
     "https://a.example/b/FramepilotObjectiveMissed.md"),
    ("prometheusRule.without", ["FramepilotObjectiveMissed"], lambda r: "FramepilotObjectiveMissed" in alerts(r), True,
     False),
    ("prometheusRule.thresholds.attainmentRatio", 0.5, threshold("FramepilotObjectiveMissed"), "0.95", "0.5"),
    ("prometheusRule.thresholds.lateRatio", 0.05, threshold("FramepilotLatencyBeyondObjective"), "0.01", "0.05"),
    ("prometheusRule.thresholds.droppedRatio", 0.2, threshold("FramepilotFramesDropped"), "0.02", "0.2"),
    ("prometheusRule.thresholds.supersededRatio", 1, threshold("FramepilotFramesSuperseded"), "0.5", "1"),
    ("prometheusRule.thresholds.sinkEventsDropped", 1000000, threshold("FramepilotSinkEventsDropped"), "0", "1e+06"),
    ("prometheusRule.thresholds.deviceBusyRatio", 0.8, threshold("FramepilotDeviceSaturated"), "0.95", "0.8"),
    ("prometheusRule.thresholds.operatorFailures", 9, threshold("FramepilotOperatorFailing"), "3", "9"),
    ("dashboards.enabled", True, kinds("ConfigMap"), [0], [4]),
    ("dashboards.namespace", "grafana", lambda r: {each["metadata"]["namespace"] for each in r.all("ConfigMap")},
     {"operators"}, {"grafana"}),
    ("dashboards.labels", {"grafana_dashboard": "yes"},
     lambda r: {each["metadata"]["labels"]["grafana_dashboard"] for each in r.all("ConfigMap")}, {"1"}, {"yes"}),
    ("dashboards.annotations", {"grafana_folder": "Framepilot"}, metadata("ConfigMap", "annotations"), [None] * 4,
     [{"grafana_folder": "Framepilot"}] * 4),
    ("networkPolicy.enabled", True, kinds("NetworkPolicy"), [0], [2]),
    ("networkPolicy.from", [PROMETHEUS], peers, [[], [OPERATORS]], [[PROMETHEUS], [OPERATORS, PROMETHEUS]]),
    ("networkPolicy.apiServerPorts", [16443], lambda r: policy(r, "operator")["egress"][1]["ports"],
     [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}], [{"port": 16443, "protocol": "TCP"}]),
    ("networkPolicy.operatorEgress", [TO_CAMERAS], lambda r: policy(r, "operator")["egress"][3:], [], [TO_CAMERAS]),
    ("networkPolicy.instancesEgress", [TO_CAMERAS], lambda r: policy(r, "instances").get("egress", [])[1:], [],
     [TO_CAMERAS]),
    ("networkPolicy.instancesEgress", [TO_CAMERAS], lambda r: policy(r, "instances")["policyTypes"], ["Ingress"],
     ["Ingress", "Egress"]),
]  # fmt: skip


NEEDED: dict[str, Values] = {
    "prometheus.token.secret": {"prometheus": {"url": ASKED}},
    "prometheus.token.key": {"prometheus": {"url": ASKED, "token": {"secret": "its-token"}}},
    "prometheus.ca.configMap": {"prometheus": {"url": ASKED}},
    "prometheus.ca.key": {"prometheus": {"url": ASKED, "ca": {"configMap": "its-ca"}}},
}
"""What has to be set for a value to mean anything."""


def needed(path: str) -> Values:
    switched = path.partition(".")[0]
    if switched in {"podMonitor", "prometheusRule", "dashboards", "networkPolicy"} and path != f"{switched}.enabled":
        return {switched: ENABLED}
    return NEEDED.get(path, {})


@pytest.mark.parametrize(
    ("path", "value", "look", "before", "after"),
    CHANGES,
    ids=[f"{path}-{number}" for number, (path, *_) in enumerate(CHANGES)],
)
def test_a_value_changes_what_it_says(
    path: str, value: Any, look: Callable[[Rendered], Any], before: Any, after: Any
) -> None:
    without = needed(path)
    given = merged(without, nested(path, value))
    assert look(render(without)) == before
    assert look(render(given)) == after


def test_each_value_is_tried() -> None:
    def leaves(node: dict[str, Any], path: str = "") -> Iterator[str]:
        for name, value in node.items():
            here = f"{path}.{name}".lstrip(".")
            if isinstance(value, dict) and value and name not in {"resources", "labels"}:
                yield from leaves(value, here)
            else:
                yield here

    assert {path for path, *_ in CHANGES} == set(leaves(YAML(typ="safe").load((CHART / "values.yaml").read_text())))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"replica": 2}, "'replica' not allowed"),
        ({"operator": {"image": {"tag": 1.2}}}, "at '/operator/image/tag': got number, want string"),
        ({"logLevel": "verbose"}, "at '/logLevel': value must be one of 'debug', 'info', 'warning', 'error'"),
        ({"replicas": 2, "leaderElection": False}, "Set leaderElection to true, or replicas to 1"),
    ],
)
def test_a_wrong_value_is_refused_with_a_message(values: Values, says: str) -> None:
    with pytest.raises(HelmError) as refused:
        render(values)
    assert says in str(refused.value)


def test_the_crds_are_those_of_the_project() -> None:
    rendered = render().all("CustomResourceDefinition")
    for each in rendered:
        del each["metadata"]["labels"], each["metadata"]["annotations"]
    assert rendered == [YAML(typ="safe").load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]


@pytest.mark.parametrize("name", ["a", "framepilot", "my-framepilot", "a" * 53, f"{'a' * 42}-{'b' * 10}"])
def test_names_have_at_most_63_characters_and_labels_are_alike(name: str) -> None:
    switches = dict.fromkeys(("podMonitor", "prometheusRule", "dashboards"), ENABLED)
    rendered = render({**switches, "watchNamespaces": ["a"]}, name=name)
    for each in rendered.objects:
        metadata = each["metadata"]
        if each["kind"] != "CustomResourceDefinition":
            assert len(metadata["name"]) <= 63
            assert metadata["name"].strip("-") == metadata["name"]
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/name"] == "framepilot"
        assert labels["app.kubernetes.io/instance"] == name
        # Not the operator's own mark, or it would take these objects for those of instances.
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert all(len(value) <= 63 for value in labels.values())


@each_variant
def test_what_selects_pods_never_changes_with_a_version(values: Values) -> None:
    rendered = render({**values, "podMonitor": ENABLED}, name="pilot")
    chosen = {
        "app.kubernetes.io/name": "framepilot",
        "app.kubernetes.io/instance": "pilot",
        "app.kubernetes.io/component": "operator",
    }
    assert rendered.one("Deployment")["spec"]["selector"] == {"matchLabels": chosen}
    assert rendered.one("Service")["spec"]["selector"] == chosen
    assert rendered.one("PodMonitor", "pilot-framepilot-operator")["spec"]["selector"] == {"matchLabels": chosen}
    for spread in rendered.pod["spec"].get("topologySpreadConstraints", []):
        assert spread["labelSelector"] == {"matchLabels": chosen}
    assert rendered.pod["metadata"]["labels"].items() >= chosen.items()


@pytest.mark.parametrize(
    ("values", "where"),
    [({}, {"any": True}), ({"watchNamespaces": ["a", "b"]}, {"matchNames": ["a", "b"]})],
)
def test_the_metrics_of_instances_are_collected_where_the_operator_looks(values: Values, where: dict[str, Any]) -> None:
    monitor = render({**values, "podMonitor": ENABLED}).one("PodMonitor", "framepilot-instances")["spec"]
    assert monitor["namespaceSelector"] == where
    assert monitor["selector"]["matchLabels"].items() <= labels(Owner.service("a/door")).items()


def test_the_rules_are_those_that_promtool_has_judged() -> None:
    rendered = render({"prometheusRule": ENABLED}).one("PrometheusRule")
    assert rendered["spec"] == YAML(typ="safe").load(rules())


def test_the_dashboards_are_those_that_are_generated() -> None:
    rendered = render({"dashboards": ENABLED}).all("ConfigMap")
    files = {path.name: json.loads(path.read_text()) for path in (CHART / "dashboards").iterdir()}
    assert {name: json.loads(text) for each in rendered for name, text in each["data"].items()} == files


def test_instances_are_reached_by_the_operator_only_in_each_namespace_that_is_listed() -> None:
    rendered = render({"networkPolicy": ENABLED, "watchNamespaces": ["a", "b"]})
    instances = [each for each in rendered.all("NetworkPolicy") if each["metadata"]["name"] == "framepilot-instances"]
    assert [each["metadata"]["namespace"] for each in instances] == ["a", "b"]
    for each in instances:
        assert each["spec"]["ingress"] == [{"from": [OPERATORS], "ports": [{"port": "http", "protocol": "TCP"}]}]
        assert each["spec"]["podSelector"]["matchLabels"] == {
            "app.kubernetes.io/name": "inference-app",
            "app.kubernetes.io/managed-by": "framepilot",
        }


def test_it_can_be_part_of_another_chart(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: whole\nversion: 1.0.0\n")
    shutil.copytree(CHART, tmp_path / "charts" / "framepilot")
    rendered = render({"framepilot": {"logLevel": "debug"}, "global": {"a": 1}}, chart=tmp_path)
    assert arguments(rendered, "--log-level") == ["debug"]


@each_variant
def test_kubeconform_finds_nothing(kubectl: Kubectl, tmp_path: Path, values: Values) -> None:
    objects = render(values).objects
    write_schemas(kubectl, objects, tmp_path)
    done = kubeconform(objects, tmp_path)
    assert done.returncode == 0, done.stdout
    # And would have found something.
    objects[-1]["spec"]["unknown"] = 1
    assert "additional properties 'unknown' not allowed" in kubeconform(objects, tmp_path).stdout


def kubeconform(objects: Any, schemas: Path) -> subprocess.CompletedProcess[str]:
    options = ["-strict", "-summary", "-schema-location", f"{schemas}/{FILE_NAMES}"]
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    command = [str(paths.KUBECONFORM), *options]
    return subprocess.run(command, input=given, text=True, capture_output=True, timeout=60, check=False)


@each_variant
def test_the_api_server_takes_everything(kubectl: Kubectl, values: Values) -> None:
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": render(values, namespace="default").objects})
    # Server-side, as Helm does it; what others own of it is not the question here.
    kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename=-", given=given)


@pytest.mark.parametrize(("values", "namespace"), [({}, "default"), ({"watchNamespaces": ["cameras", "b"]}, "cameras")])
def test_the_notes_give_the_next_command_and_it_works(
    kubectl: Kubectl, values: Values, namespace: str, tmp_path: Path
) -> None:
    text = notes(values)
    command, _, _ = text[text.index("kubectl apply") :].partition("\nkubectl wait")
    assert f" --namespace {namespace} " in command
    assert "  --for" not in text
    script = command.replace("kubectl apply", "kubectl apply --dry-run=server").replace(f" {namespace} ", " default ")
    environment = {"PATH": f"{paths.KUBECTL.parent}:/usr/bin:/bin", "KUBECONFIG": str(kubectl.kubeconfig)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "inferenceservice.framepilot.dev/door" in done.stdout
