"""The images of the cluster itself, one static program each: DNS, and pause, which holds a pod's namespaces."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from support.cluster import paths, settings, versions
from support.cluster.commands import run
from support.cluster.progress import say
from support.cluster.toolchain import go

MANIFEST_TYPES = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


def push_missing() -> None:
    """Build and push the images that the registry lacks.

    Raises:
        ClusterSetupError: one could not be built or pushed.
    """
    with tempfile.TemporaryDirectory(prefix="framepilot-images-") as folder:
        if not _is_pushed(settings.PAUSE_IMAGE):
            pause = Path(folder) / "pause"
            run(["gcc", "-Os", "-static", "-DVERSION=framepilot", "-o", pause, _pause_source()])
            push(pause, settings.PAUSE_IMAGE, Path(folder))
        if not _is_pushed(settings.DNS_IMAGE):
            push(paths.COREDNS, settings.DNS_IMAGE, Path(folder))


def _pause_source() -> Path:
    """In the module that Kubernetes is built from, which is fetched if it is not on the machine (any more)."""
    module = f"{versions.MODULES['kubernetes']}@v{versions.version('kubernetes')}"
    said = run([go(), "mod", "download", "-json", module], cwd=versions.GO / "kubernetes")
    return Path(json.loads(said)["Dir"]) / "build" / "pause" / "linux" / "pause.c"


def push(program: Path, image: str, folder: Path) -> None:
    """An image that holds this program and starts it. Nothing of it stays in the storage of images of the machine."""
    say(f"pushing {image}")
    storage = folder / "storage"
    buildah = ["buildah", f"--root={storage}", f"--runroot={folder}/run", "--storage-driver=vfs"]
    container = run([*buildah, "from", "scratch"]).strip()
    run([*buildah, "copy", container, program, "/"])
    run([*buildah, "config", f'--entrypoint=["/{program.name}"]', container])
    run([*buildah, "commit", "--tls-verify=false", container, f"docker://{image}"])
    run([*buildah, "rm", container])
    shutil.rmtree(storage)


def _is_pushed(image: str) -> bool:
    name, tag = image.removeprefix(f"{paths.REGISTRY}/").split(":")
    request = urllib.request.Request(f"http://{paths.REGISTRY}/v2/{name}/manifests/{tag}", method="HEAD")
    request.add_header("Accept", MANIFEST_TYPES)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=30):
            return True
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise
