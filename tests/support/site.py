"""A namespace with sample models, videos and a folder for results: where services of a test run."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from framepilot.contract.events import FrameId
from support.kubectl import Kubectl, until
from support.samples.build import build as samples

KIND = "inferenceservices.framepilot.dev"
OWNED = "deployments,configmaps,services,pods"
"""What there is for a service."""
FPS = 20
"""Of the camera of a service."""


@dataclass(frozen=True)
class Ledger:
    """`epochs`: how often the stream was opened. `missing`: gaps before the last frame of an epoch that arrived."""

    arrived: int
    epochs: int
    missing: int
    repeated: int
    out_of_order: int

    @property
    def whole(self) -> bool:
        """Whether everything arrived, once and in order."""
        return (self.missing, self.repeated, self.out_of_order) == (0, 0, 0)

    @classmethod
    def of(cls, arrivals: list[tuple[int, int]]) -> Ledger:
        unique = set(arrivals)
        last: dict[int, int] = {}
        for epoch, sequence in arrivals:
            last[epoch] = max(sequence, last.get(epoch, -1))
        return cls(
            arrived=len(arrivals),
            epochs=len(last),
            missing=sum(last.values()) + len(last) - len(unique),
            repeated=len(arrivals) - len(unique),
            out_of_order=sum(later < earlier for earlier, later in pairwise(arrivals)),
        )


@dataclass
class Site:
    """`results` is a folder of this machine that services see as /results."""

    kubectl: Kubectl
    results: Path

    def prepare(self) -> None:
        """The volumes: this machine is the node, so they are its own folders. Returns when pods can have them."""
        for name, folder in (("samples", samples()), ("results", self.results)):
            volume = f"{self.kubectl.namespace}-{name}"
            common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
            self.kubectl.apply(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": {"name": volume},
                    "spec": {**common, "capacity": {"storage": "1Gi"}, "hostPath": {"path": str(folder)}},
                },
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": name},
                    "spec": {**common, "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}},
                },
            )
        bound = "--for=jsonpath={.status.phase}=Bound"
        self.kubectl("wait", bound, "persistentvolumeclaims", "--all", "--timeout=100s")

    def clear(self) -> None:
        """The services, so that the operator does not mend what the namespace's removal takes; what that leaves."""
        self.kubectl("delete", KIND, "--all", "--wait=false")
        for name in ("samples", "results"):
            self.kubectl("delete", "persistentvolume", f"{self.kubectl.namespace}-{name}", "--wait=false")

    def service(self, name: str, **spec: Any) -> dict[str, Any]:
        """A resource: one lossless test camera, the classifier of ages, results in a file; `spec` replaces parts."""
        return {
            "apiVersion": "framepilot.dev/v1alpha1",
            "kind": "InferenceService",
            "metadata": {"name": name},
            "spec": {
                "streams": [{"name": "door", "source": f"test://160x120?fps={FPS}", "delivery": "lossless"}],
                "modules": [{"name": "age", "model": {"name": "age", "version": "1"}}],
                "models": {"store": "file:///samples/models"},
                "objective": {"latency": "2s"},
                "batching": {"max": 8},
                "sinks": [{"name": "events", "type": "file", "path": f"/results/{name}.jsonl"}],
                "template": {
                    "volumes": [
                        {"name": "samples", "persistentVolumeClaim": {"claimName": "samples", "readOnly": True}},
                        {"name": "results", "persistentVolumeClaim": {"claimName": "results"}},
                    ],
                    "volumeMounts": [
                        {"name": "samples", "mountPath": "/samples", "readOnly": True},
                        {"name": "results", "mountPath": "/results"},
                    ],
                },
                **spec,
            },
        }

    def declare(self, name: str, **spec: Any) -> None:
        self.kubectl.apply(self.service(name, **spec))

    def wait_ready(self, name: str) -> None:
        until(
            f"{name} to be ready",
            lambda: (
                self.kubectl.condition(KIND, name, "Ready").get("status") == "True"
                and self.kubectl.condition(KIND, name, "Reconciling").get("status") == "False"
            ),
        )

    def module(self, name: str, module: str = "age") -> dict[str, Any]:
        """A module's entry in the status of a service."""
        modules = self.kubectl.get(KIND, name).get("status", {}).get("modules", [])
        return next((each for each in modules if each["name"] == module), {})

    def pod(self, name: str) -> dict[str, Any]:
        """The one pod of a service that is not ending.

        Raises:
            StopIteration: there is none.
        """
        items = self.kubectl.get("pods", selector=f"framepilot.dev/service={name}")["items"]
        return next(item for item in items if "deletionTimestamp" not in item["metadata"])

    def container(self, name: str) -> tuple[str, int]:
        """The id and the restarts of a service's container."""
        status = self.pod(name)["status"]["containerStatuses"][0]
        return status["containerID"], status["restartCount"]

    def kill_container(self, name: str) -> None:
        """Kill the processes of a service's container; this machine is the node."""
        identity = self.container(name)[0].rpartition("/")[2]
        for pid in _in_cgroup(identity):
            os.kill(pid, signal.SIGKILL)

    def desired(self, name: str) -> dict[str, Any]:
        """What the instance is told to run."""
        return json.loads(self.kubectl.get("configmap", f"framepilot-{name}")["data"]["desired.json"])

    def observed(self, name: str) -> dict[str, Any]:
        """What the instance says of itself, through the API server's proxy."""
        pod = self.pod(name)["metadata"]["name"]
        path = f"/api/v1/namespaces/{self.kubectl.namespace}/pods/{pod}:8080/proxy/status"
        return json.loads(self.kubectl("get", "--raw", path))

    def serving(self, name: str) -> tuple[str | None, int]:
        """The version, if any serves yet, and the batch size in the container of a service of one module."""
        (module,) = self.observed(name)["modules"]
        serving = module["serving"]
        return serving and serving["version"], module["batch"]["size"]

    def rollout(self, name: str) -> tuple[str, str] | None:
        """The version that is rolled out in the container of a service of one module, and how far it is."""
        (module,) = self.observed(name)["modules"]
        rollout = module["rollout"]
        return rollout and (rollout["candidate"], rollout["state"])

    def events(self, name: str) -> list[dict[str, Any]]:
        """The Events about a service."""
        return self.kubectl.events("InferenceService", name)

    def patch_batch(self, name: str, size: int) -> None:
        """As the README shows it: a JSON patch of one entry of the list."""
        self._patch(
            name,
            {"op": "test", "path": "/spec/modules/0/name", "value": "age"},
            {"op": "add", "path": "/spec/modules/0/batching", "value": {"mode": "Fixed", "size": size}},
        )

    def patch_version(self, name: str, version: str) -> None:
        """The same of the model's version."""
        self._patch(name, {"op": "replace", "path": "/spec/modules/0/model/version", "value": version})

    def _patch(self, name: str, *operations: dict[str, Any]) -> None:
        self.kubectl("patch", KIND, name, "--type=json", f"--patch={json.dumps(operations)}")

    def arrivals(self, name: str, stream: str = "door") -> list[tuple[int, int]]:
        """(epoch, sequence) of every result that arrived, in order of arrival."""
        path = self.results / f"{name}.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1].splitlines()
        ids = [FrameId.parse(json.loads(line)["id"]) for line in whole]
        return [(each.epoch, each.sequence) for each in ids if each.stream == stream]

    def ledger(self, name: str, stream: str = "door") -> Ledger:
        """What is to be said of the results of a stream, as somebody outside sees them."""
        return Ledger.of(self.arrivals(name, stream))

    def ledger_beyond_now(self, name: str, stream: str = "door", frames: int = 20) -> Ledger:
        """The same once so many more results arrived: what is missing of those before shows by then."""
        seen = self.ledger(name, stream).arrived
        until(f"results of {name}", lambda: self.ledger(name, stream).arrived >= seen + frames)
        return self.ledger(name, stream)


@contextmanager
def site_in(namespace: Kubectl) -> Iterator[Site]:
    """A site in this namespace, prepared; what it made on this machine is removed afterwards."""
    results = Path("/tmp") / f"framepilot-{namespace.namespace}"
    results.mkdir(mode=0o777)
    results.chmod(0o777)
    made = Site(namespace, results)
    try:
        made.prepare()
        yield made
    finally:
        made.clear()
        shutil.rmtree(results)


def _in_cgroup(identity: str) -> list[int]:
    """The processes in a group with this in its name."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            groups = (folder / "cgroup").read_text(encoding="utf-8")
        except OSError:
            continue
        if identity in groups:
            found.append(int(folder.name))
    return found
