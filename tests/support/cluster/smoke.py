"""`python -m support.cluster.smoke`, by hand after a change of the cluster: is the one that is up a real one?

Builds an image of one static program, pushes it, and runs it under the strictest pod security as a job that looks up
the API server's name; once as things are, and again after each part of the cluster was restarted.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from support.cluster import components, paths, settings, versions
from support.cluster.commands import run
from support.cluster.errors import ClusterSetupError
from support.cluster.images import push
from support.cluster.progress import say
from support.cluster.toolchain import go

NAMESPACE = "framepilot-smoke"
TIMEOUT_S = 300.0
POLL_S = 0.2


def main() -> int:
    kubectl("version")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "lookup"
        run([go(), "build", "-o", program, "."], cwd=versions.GO / "lookup", CGO_ENABLED="0", GOTOOLCHAIN="local")
        image = f"{paths.REGISTRY}/lookup:smoke"
        push(program, image, Path(folder))
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    kubectl("apply", "--filename=-", given=json.dumps(namespace))
    try:
        look_up("as-it-is", image)
        for component in components.names():
            components.restart(component)
            look_up(f"after-{component}", image)
    finally:
        kubectl("delete", "namespace", NAMESPACE)
    return 0


def look_up(name: str, image: str) -> None:
    """Run a job to its end; its log must hold the address."""
    kubectl("apply", f"--namespace={NAMESPACE}", "--filename=-", given=json.dumps(job(name, image)))
    give_up_at = time.monotonic() + TIMEOUT_S
    while not succeeded(name):
        if time.monotonic() > give_up_at:
            raise ClusterSetupError(f"the job {name} in {NAMESPACE} does not end well: kubectl describe it")
        time.sleep(POLL_S)
    said = kubectl("logs", f"--namespace={NAMESPACE}", f"job/{name}").strip()
    if settings.API_SERVICE_ADDRESS not in said:
        raise ClusterSetupError(f"the job {name} should have found {settings.API_SERVICE_ADDRESS} and said: {said}")
    say(f"{name}: {said}")


def succeeded(name: str) -> bool:
    status = json.loads(kubectl("get", f"--namespace={NAMESPACE}", "job", name, "--output=json"))["status"]
    return bool(status.get("succeeded"))


def job(name: str, image: str) -> dict[str, object]:
    """Without any right, as user 10001."""
    container = {
        "name": "lookup",
        "image": image,
        "imagePullPolicy": "Always",
        "args": ["kubernetes.default", f"kubernetes.default.svc.{settings.DNS_DOMAIN}"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "restartPolicy": "OnFailure",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    spec = {"backoffLimit": 10, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def kubectl(*arguments: str, given: str | None = None) -> str:
    return run([paths.KUBECTL, f"--kubeconfig={paths.KUBECONFIG}", *arguments], given=given)


if __name__ == "__main__":
    sys.exit(main())
