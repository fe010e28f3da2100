"""`make install`: the operator by its chart, and the sample models as a store in the namespace `default`.

In the cluster of `make cluster`, with images that are built now, unless KUBECONFIG names another one or that does not
run; then in the current context, with the images that OPERATOR_IMAGE, APP_IMAGE and SAMPLES_IMAGE name.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from support.cluster import paths
from support.images.build import INFERENCE_APP, OPERATOR, ROOT, SAMPLES, publish
from support.images.buildah import ImagesError
from support.images.registry import Registry
from support.kubectl import Kubectl, KubectlError
from support.operator_release import NAME, NAMESPACE, HelmError, OperatorRelease
from support.samples.build import build as samples

VARIABLES = {OPERATOR: "OPERATOR_IMAGE", INFERENCE_APP: "APP_IMAGE", SAMPLES: "SAMPLES_IMAGE"}
STORE = ROOT / "examples" / "kubernetes" / "samples.yaml"
PLACEHOLDER = "image: framepilot-samples\n"


class InstallError(Exception):
    """It cannot be installed: what is missing, what to do."""


@dataclass(frozen=True)
class Target:
    """Where to install, with which images by target."""

    kubectl: Kubectl
    helm: Path
    images: dict[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m support.install", description="Install Framepilot in a cluster.")
    parser.add_argument("--remove", action="store_true", help="remove it instead; resource types and services stay")
    remove: bool = parser.parse_args().remove
    try:
        target = _target(with_images=not remove)
        release = OperatorRelease(target.kubectl, target.images, target.helm)
        if remove:
            release.uninstall()
            target.kubectl("delete", "--ignore-not-found", "-f", str(STORE))
        else:
            _install(target, release)
    except (InstallError, ImagesError, KubectlError, HelmError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _install(target: Target, release: OperatorRelease) -> None:
    print(f"installing the chart as {NAME} in {NAMESPACE}", flush=True)
    release.install()
    print("installing the sample models in default: http://samples/models", flush=True)
    manifest = STORE.read_text(encoding="utf-8")
    if PLACEHOLDER not in manifest:
        raise InstallError(f"{STORE} has no line '{PLACEHOLDER.strip()}' to put the image's name in")
    store = manifest.replace(PLACEHOLDER, f"image: {target.images[SAMPLES]}\n")
    target.kubectl.within("default")("apply", "-f", "-", given=store)
    target.kubectl.within("default")("rollout", "status", "deployment/samples", "--timeout=5m", timeout_s=330)
    print("Try: kubectl apply -f examples/kubernetes/one-camera.yaml")


def _target(*, with_images: bool) -> Target:
    if "KUBECONFIG" not in os.environ and paths.KUBECONFIG.exists():
        images = publish(Registry(paths.REGISTRY), os.environ, samples()) if with_images else {}
        return Target(Kubectl(paths.KUBECTL, paths.KUBECONFIG), paths.HELM, images)
    missing = [name for name in VARIABLES.values() if with_images and name not in os.environ]
    if missing:
        raise InstallError(
            f"the cluster of `make cluster` does not run, and for another one set {', '.join(missing)}: the names of "
            "images that its nodes can pull (targets of the Dockerfile, and examples/kubernetes/samples.Dockerfile)"
        )
    images = {target: os.environ[name] for target, name in VARIABLES.items()} if with_images else {}
    return Target(Kubectl(_program("kubectl"), None), _program("helm"), images)


def _program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise InstallError(f"{name} is not installed, or not in PATH")
    return Path(found)


if __name__ == "__main__":
    sys.exit(main())
