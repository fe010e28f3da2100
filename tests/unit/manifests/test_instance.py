"""The objects of an instance: what the cluster demands of them, and what they may depend on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from framepilot.contract.desired import DesiredState
from framepilot.resources.template import InstanceTemplate
from framepilot_operator.manifests.instance import (
    AppImage,
    Workload,
    config_map,
    credentials_secrets,
    desired_bytes,
    workload,
)
from framepilot_operator.manifests.names import SELECTOR
from framepilot_operator.manifests.owner import Owner, OwnerKind
from support.snapshots import OWNER, desired

IMAGE = AppImage("registry.example/app:1", pull_secrets=("ours",))
TEMPLATE = {
    "resources": {"limits": {"memory": "4Gi", "nvidia.com/gpu": 1}},
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "env": [{"name": "OMP_NUM_THREADS", "value": "2"}],
    "volumes": [
        {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
        {"name": "scratch", "emptyDir": {}},
    ],
    "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
    "imagePullSecrets": [{"name": "theirs"}, {"name": "ours"}],
}


def written(
    template: dict[str, Any] | None = None, uid: str = "u", owner: Owner = OWNER, image: AppImage = IMAGE
) -> Workload:
    made = InstanceTemplate.model_validate_json(json.dumps(template or {}), by_alias=True)
    return workload(owner, uid, made, image)


def pod_of(deployment: dict[str, Any]) -> dict[str, Any]:
    return deployment["spec"]["template"]["spec"]


def deployment(template: dict[str, Any] | None = None, image: AppImage = IMAGE) -> dict[str, Any]:
    return written(template, image=image).deployment


def test_the_pod_keeps_to_the_restricted_standard() -> None:
    pod = pod_of(deployment(TEMPLATE))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
    assert all(volume.keys() - {"name"} <= allowed for volume in pod["volumes"])
    (container,) = pod["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "hostPort" not in container["ports"][0]


def test_the_pod_knows_nothing_of_the_cluster() -> None:
    pod = pod_of(deployment())
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


def test_everything_that_the_app_writes_to_is_a_volume_of_its_own() -> None:
    (container,) = pod_of(deployment())["containers"]
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/cache", "/tmp", "/dev/shm"}
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["HOME"] in writable
    assert environment["TORCHINDUCTOR_CACHE_DIR"].startswith("/cache/")


def test_the_desired_state_is_mounted_as_a_folder_so_that_it_follows_its_config_map() -> None:
    pod = pod_of(deployment())
    (container,) = pod["containers"]
    path = container["args"][container["args"].index("--desired") + 1]
    (mount,) = (each for each in container["volumeMounts"] if path.startswith(f"{each['mountPath']}/"))
    assert "subPath" not in mount
    (volume,) = (each for each in pod["volumes"] if each["name"] == mount["name"])
    carrier = config_map(OWNER, "u", desired(), None)
    assert volume["configMap"]["name"] == carrier["metadata"]["name"]
    assert path.removeprefix(f"{mount['mountPath']}/") in carrier["data"]


def test_every_mount_names_a_volume_and_every_probe_a_port() -> None:
    pod = pod_of(deployment(TEMPLATE))
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
    ports = {port["name"] for port in container["ports"]}
    assert {container[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "liveness", "readiness")} <= ports


def test_the_template_is_what_the_pod_gets() -> None:
    pod = pod_of(deployment(TEMPLATE))
    (container,) = pod["containers"]
    assert container["resources"] == {"limits": {"memory": "4Gi", "nvidia.com/gpu": "1"}}
    assert pod["nodeSelector"] == TEMPLATE["nodeSelector"]
    assert pod["tolerations"] == TEMPLATE["tolerations"]
    assert [volume for volume in pod["volumes"] if not volume["name"].startswith("framepilot-")] == TEMPLATE["volumes"]
    assert TEMPLATE["volumeMounts"][0] in container["volumeMounts"]
    assert TEMPLATE["env"][0] in container["env"]
    assert pod["imagePullSecrets"] == [{"name": "ours"}, {"name": "theirs"}]


def test_only_one_pod_is_there_at_a_time_and_only_its_own_are_selected() -> None:
    spec = deployment()["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    network = written().service
    assert network["spec"]["selector"] == spec["selector"]["matchLabels"]


@pytest.mark.parametrize("kind", OwnerKind)
def test_every_object_belongs_to_its_owner_and_can_be_found_again(kind: OwnerKind) -> None:
    owner = Owner(kind, "cameras", "lobby")
    made = written(owner=owner)
    for each in (made.deployment, made.service, config_map(owner, "u", desired(), None)):
        metadata: Any = each["metadata"]
        assert metadata["namespace"] == "cameras"
        (reference,) = metadata["ownerReferences"]
        found = (reference["kind"], reference["name"], reference["uid"], reference["controller"])
        assert found == (kind.value, "lobby", "u", True)
        key, _, value = SELECTOR.partition("=")
        assert metadata["labels"][key] == value


def test_the_fingerprint_follows_everything_that_the_workload_is_made_of() -> None:
    plain = written().fingerprint
    others = {
        written(TEMPLATE).fingerprint,
        written(uid="another").fingerprint,
        written(owner=Owner.runtime("cameras/lobby")).fingerprint,
        written(image=AppImage("registry.example/app:2")).fingerprint,
    }
    assert len(others | {plain}) == 5
    assert written().fingerprint == plain


def test_the_fingerprint_is_on_the_deployment_and_not_in_its_pods() -> None:
    made = written()
    assert made.fingerprint in str(made.deployment["metadata"])
    assert made.fingerprint not in str(made.deployment["spec"])


def test_the_config_map_carries_the_document_and_is_written_only_over_what_was_read() -> None:
    document = desired(generation=7)
    carrier: Any = config_map(OWNER, "u", document, "41")
    assert DesiredState.parse(carrier["data"]["desired.json"]) == document
    assert carrier["metadata"]["resourceVersion"] == "41"
    assert "resourceVersion" not in str(config_map(OWNER, "u", document, None))
    assert desired_bytes(document) == sum(len(f"{key}{value}".encode()) for key, value in carrier["data"].items())


def test_credentials_are_mounted_as_folders_that_only_the_app_reads_and_that_may_come_later() -> None:
    made = workload(OWNER, "u", InstanceTemplate(), IMAGE, credentials_secrets(naming("yard", "door", "door")))
    pod = pod_of(made.deployment)
    (container,) = pod["containers"]
    folder = container["args"][container["args"].index("--credentials") + 1]
    volumes = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
    assert [secret["secretName"] for secret in volumes.values()] == ["door", "yard"]
    assert all(secret["optional"] and not secret["defaultMode"] & 0o007 for secret in volumes.values())
    mounts = {mount["name"]: mount for mount in container["volumeMounts"] if mount["name"] in volumes}
    for name, secret in volumes.items():
        # The whole folder, as a subPath would not follow the Secret.
        assert mounts[name] == {"name": name, "mountPath": f"{folder}/{secret['secretName']}", "readOnly": True}


def test_without_credentials_the_pod_is_as_it_was() -> None:
    assert credentials_secrets(desired()) == credentials_secrets(None) == ()
    assert "--credentials" not in pod_of(deployment())["containers"][0]["args"]


def naming(*secrets: str) -> DesiredState:
    """A desired state whose services name these Secrets."""
    (pipeline,) = desired().pipelines
    pipelines = [
        pipeline.model_copy(update={"service": f"cameras/s{position}", "credentials": secret})
        for position, secret in enumerate(secrets)
    ]
    return desired().model_copy(update={"pipelines": tuple(pipelines)})
