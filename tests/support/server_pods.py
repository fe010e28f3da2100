"""Cameras, brokers and a Prometheus as pods: a server behind a name in its namespace, as it is at a user's site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import cameras
from support.kubectl import Kubectl, until

FILES = "/server"
CAMERA = Path(*cameras.__path__) / "rtsp.py"


@dataclass(frozen=True)
class ServerPod:
    """`files` are what the command finds in /server, by name; `port` is that of the pod and of the name."""

    name: str
    image: str
    command: Sequence[str]
    port: int
    files: Mapping[str, str] = field(default_factory=dict)

    def start(self, kubectl: Kubectl) -> None:
        """Have it run, and wait until something listens at its port."""
        kubectl.apply(*self._objects())
        self.wait(kubectl)

    def wait(self, kubectl: Kubectl) -> None:
        ready = '--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        until(f"the server {self.name}", lambda: kubectl.attempt("get", "pod", self.name, ready).stdout == "True")

    def stop(self, kubectl: Kubectl) -> None:
        """Kill it; its name stays."""
        kubectl("delete", "pod", self.name, "--grace-period=0", "--force", "--wait=true")

    def address(self, kubectl: Kubectl) -> str:
        """The address of its name, which this machine reaches too, as it is the node."""
        return kubectl.get("service", self.name)["spec"]["clusterIP"]

    def _objects(self) -> list[dict[str, Any]]:
        labels = {"framepilot.test/server": self.name}
        metadata = {"name": self.name, "labels": labels}
        return [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(self.files)},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"selector": labels, "ports": [{"port": self.port}]},
            },
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self._pod()},
        ]

    def _pod(self) -> dict[str, Any]:
        return {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10002,
                "runAsGroup": 10002,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "server",
                    "image": self.image,
                    "command": list(self.command),
                    "env": [{"name": "HOME", "value": "/tmp"}],
                    "ports": [{"containerPort": self.port}],
                    "readinessProbe": {"tcpSocket": {"port": self.port}, "periodSeconds": 1},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "files", "mountPath": FILES}],
                }
            ],
            "volumes": [{"name": "files", "configMap": {"name": self.name}}],
        }


def camera_pod(image: str, password: str | None = None) -> ServerPod:
    """A camera, `rtsp://camera:8554/main`; it is for everybody, or for the user `viewer` with this password."""
    options = ["--address", "0.0.0.0", "--port", "8554"]
    files = {"rtsp.py": CAMERA.read_text(encoding="utf-8")}
    if password is not None:
        options += ["--password-file", f"{FILES}/password"]
        files["password"] = password
    return ServerPod("camera", image, ["python3", f"{FILES}/rtsp.py", *options], 8554, files)


def prometheus_pod(image: str, configuration: str, rules: str) -> ServerPod:
    """A Prometheus, `http://prometheus:9090`; it forgets all when it is stopped."""
    command = [
        "prometheus",
        f"--config.file={FILES}/prometheus.yaml",
        "--storage.tsdb.path=/tmp/data",
        "--web.listen-address=0.0.0.0:9090",
    ]
    return ServerPod("prometheus", image, command, 9090, {"prometheus.yaml": configuration, "rules.yaml": rules})
