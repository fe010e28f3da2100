"""The objects of an instance, from what its owner declares: Deployment, Service, the ConfigMap of its desired state.

What changes while it runs (batch sizes, models, streams) is in the ConfigMap only. The pod template never carries it,
so no such change ever replaces a pod; another Secret of credentials does, as only a new pod can mount it. The pod keeps
to the pod security standard *restricted*: its root file system is read-only, and what torch writes goes to volumes of
its own.
https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from framepilot.contract.desired import DesiredState
from framepilot.resources.meta import API_VERSION
from framepilot.resources.template import InstanceTemplate
from framepilot_operator.manifests.names import FINGERPRINT, OWNER_UID, labels, object_name, selector_labels
from framepilot_operator.manifests.owner import Owner

JsonObject = dict[str, JsonValue]

CONTAINER: Final = "app"
PORT: Final = 8080
DESIRED_KEY: Final = "desired.json"
LARGEST_DESIRED_BYTES: Final = 1 << 20
"""What a ConfigMap holds. https://kubernetes.io/docs/concepts/configuration/configmap/#motivation"""
_USER: Final = 10001
_DRAIN_S: Final = 35

_DESIRED_FOLDER: Final = "/etc/framepilot"
_CREDENTIALS_FOLDER: Final = "/run/framepilot/credentials"
_CACHE_FOLDER: Final = "/cache"
_ONLY_OURS: Final = 0o440
_MOUNTS: Final[list[JsonValue]] = [
    {"name": "framepilot-desired", "mountPath": _DESIRED_FOLDER, "readOnly": True},
    {"name": "framepilot-cache", "mountPath": _CACHE_FOLDER},
    {"name": "framepilot-tmp", "mountPath": "/tmp"},  # noqa: S108 a volume of the pod's own
    {"name": "framepilot-shm", "mountPath": "/dev/shm"},  # noqa: S108 the same
]
_ENVIRONMENT: Final[list[JsonValue]] = [
    # A uid without an entry in /etc/passwd has no name and no home.
    {"name": "HOME", "value": "/tmp"},  # noqa: S108 a volume of the pod's own
    {"name": "USER", "value": "framepilot"},
    {"name": "TORCHINDUCTOR_CACHE_DIR", "value": f"{_CACHE_FOLDER}/inductor"},
    {"name": "TRITON_CACHE_DIR", "value": f"{_CACHE_FOLDER}/triton"},
]


@dataclass(frozen=True, slots=True)
class AppImage:
    """The image of the inference app, and how nodes get it; the secrets are in the namespace of each instance."""

    reference: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workload:
    """What an instance runs in. Equal fingerprints: written from the same."""

    deployment: JsonObject
    service: JsonObject
    fingerprint: str


def workload(
    owner: Owner, uid: str, template: InstanceTemplate, image: AppImage, secrets: Sequence[str] = ()
) -> Workload:
    """The Deployment and the Service of an instance; `uid` is its owner's, `secrets` those with credentials."""
    deployment: JsonObject = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(owner, uid),
        "spec": _deployment_spec(owner, uid, template, image, secrets),
    }
    network: JsonObject = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(owner, uid),
        "spec": {
            "selector": {**selector_labels(owner)},
            "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}],
            # /status is asked for most while nothing serves yet.
            "publishNotReadyAddresses": True,
        },
    }
    fingerprint = _digest([deployment, network])
    # The pods' template stays out of it: a Service that changes replaces no pod.
    deployment["metadata"] = {**_metadata(owner, uid), "annotations": {FINGERPRINT: fingerprint}}
    return Workload(deployment, network, fingerprint)


def config_map(owner: Owner, uid: str, document: DesiredState, version: str | None) -> JsonObject:
    """The ConfigMap that carries a desired state to the pods.

    `version` is the resourceVersion of the one that it replaces: the API server refuses it if that has changed since.
    """
    condition: JsonObject = {} if version is None else {"resourceVersion": version}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**_metadata(owner, uid), **condition},
        "data": {DESIRED_KEY: document.to_json()},
    }


def desired_bytes(document: DesiredState) -> int:
    """How much of a ConfigMap a desired state fills."""
    return len(DESIRED_KEY) + len(document.to_json().encode())


def _metadata(owner: Owner, uid: str) -> JsonObject:
    return {
        "name": object_name(owner),
        "namespace": owner.namespace,
        "labels": {**labels(owner)},
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": owner.kind.value,
                "name": owner.name,
                "uid": uid,
                "controller": True,
            }
        ],
    }


def credentials_secrets(document: DesiredState | None) -> tuple[str, ...]:
    """The Secrets with credentials that a desired state names."""
    pipelines = () if document is None else document.pipelines
    return tuple(sorted({pipeline.credentials for pipeline in pipelines if pipeline.credentials is not None}))


def _deployment_spec(
    owner: Owner, uid: str, template: InstanceTemplate, image: AppImage, secrets: Sequence[str]
) -> JsonObject:
    return {
        "replicas": 1,
        "revisionHistoryLimit": 1,
        # Two pods at once would both read the streams, and could not both have one device.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {**selector_labels(owner)}},
        "template": {
            "metadata": {
                "labels": {**labels(owner)},
                "annotations": {OWNER_UID: uid, "kubectl.kubernetes.io/default-container": CONTAINER},
            },
            "spec": _pod_spec(owner, template, image, secrets),
        },
    }


def _pod_spec(owner: Owner, template: InstanceTemplate, image: AppImage, secrets: Sequence[str]) -> JsonObject:
    # The fields of a template are a pod's and a container's own: they are taken as they are.
    own: JsonObject = template.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    pull_secrets = (*image.pull_secrets, *(each.name for each in template.image_pull_secrets))
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _DRAIN_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "imagePullSecrets": [{"name": each} for each in dict.fromkeys(pull_secrets)],
        **{key: own[key] for key in ("nodeSelector", "tolerations") if key in own},
        "volumes": [
            {"name": "framepilot-desired", "configMap": {"name": object_name(owner)}},
            {"name": "framepilot-cache", "emptyDir": {}},
            {"name": "framepilot-tmp", "emptyDir": {}},
            {"name": "framepilot-shm", "emptyDir": {"medium": "Memory"}},
            *(_secret_volume(position, name) for position, name in enumerate(secrets)),
            *_list(own.get("volumes")),
        ],
        "containers": [_container(own, image, secrets)],
    }


def _secret_volume(position: int, name: str) -> JsonObject:
    # A Secret that comes later is mounted then; until it does, cameras refuse, and everything else runs.
    secret: JsonObject = {"secretName": name, "defaultMode": _ONLY_OURS, "optional": True}
    return {"name": f"framepilot-credentials-{position}", "secret": secret}


def _secret_mount(position: int, name: str) -> JsonObject:
    path = f"{_CREDENTIALS_FOLDER}/{name}"
    return {"name": f"framepilot-credentials-{position}", "mountPath": path, "readOnly": True}


def _container(own: JsonObject, image: AppImage, secrets: Sequence[str]) -> JsonObject:
    return {
        "name": CONTAINER,
        "image": image.reference,
        "imagePullPolicy": image.pull_policy,
        "args": [
            *("--desired", f"{_DESIRED_FOLDER}/{DESIRED_KEY}"),
            *("--cache", _CACHE_FOLDER),
            *("--listen", f"0.0.0.0:{PORT}"),
            *(("--credentials", _CREDENTIALS_FOLDER) if secrets else ()),
        ],
        "env": [*_ENVIRONMENT, *_list(own.get("env"))],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": own.get("resources", {}),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": _probe("/healthz", period_s=2, failures=150),
        "livenessProbe": _probe("/healthz", period_s=10, failures=3),
        "readinessProbe": _probe("/readyz", period_s=2, failures=3),
        # Why it ended then stands in the pod's status, where the operator finds it.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            *_MOUNTS,
            *(_secret_mount(position, name) for position, name in enumerate(secrets)),
            *_list(own.get("volumeMounts")),
        ],
    }


def _probe(path: str, *, period_s: int, failures: int) -> JsonObject:
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _list(value: JsonValue | None) -> Iterable[JsonValue]:
    return value if isinstance(value, list) else ()


def _digest(value: JsonValue) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
