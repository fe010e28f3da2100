"""Build what is not there, push what the registry does not have, remove what is old: each image under its tag.

The work is Buildah's; what is decided here is what need not be done. The dependencies, several GB for the app, are one
layer that only a change of their lock makes anew; a change of our code is a last layer of a megabyte.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.images import base, pruning
from support.images.base import Base, Recipe
from support.images.buildah import Buildah, ImagesError
from support.images.dockerfile import parse
from support.images.registry import Registry
from support.images.tags import samples_tag, tag

ROOT = Path(__file__).parents[3]
OPERATOR = "operator"
INFERENCE_APP = "inference-app"
SAMPLES = "samples"
TARGETS = (OPERATOR, INFERENCE_APP)
SAMPLES_DOCKERFILE = ROOT / "examples" / "kubernetes" / "samples.Dockerfile"
BUILDER = "builder"
"""The stage that builds our packages; tagged, so that its layers are not taken for leftovers."""
CA_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True)
class Image:
    """One of ours: its repository in any registry, and its tag."""

    target: str
    tag: str

    @property
    def repository(self) -> str:
        return f"framepilot-{self.target}"

    @property
    def name(self) -> str:
        """Its name in Buildah's storage."""
        return f"localhost/{self.repository}:{self.tag}"

    def reference(self, registry: Registry) -> str:
        """Its name for those who pull it."""
        return f"{registry.address}/{self.repository}:{self.tag}"


def publish(registry: Registry, environment: Mapping[str, str], samples: Path) -> dict[str, str]:
    """Have all images in the registry, with that of the folder of samples; their references by target."""
    buildah = Buildah(cache_folder(environment))
    with alone(buildah.folder):
        on = base.ensure(buildah, parse((ROOT / "Dockerfile").read_text(encoding="utf-8")).arguments["BASE"], Recipe())
        images = [Image(target, tag(ROOT, target, on.key)) for target in TARGETS]
        images.append(Image(SAMPLES, samples_tag(SAMPLES_DOCKERFILE, samples, on.key)))
        missing = [image for image in images if registry.digest(image.repository, image.tag) is None]
        for image in missing:
            if buildah.digest(image.name) is None:
                if image.target == SAMPLES:
                    _build_samples(buildah, image, on, samples)
                else:
                    _build(buildah, image, on, environment)
                    _check_unchanged(buildah, image, on)
            push(buildah, image, registry)
        if missing:
            prune(buildah, images, registry)
    return {image.target: image.reference(registry) for image in images}


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where the storage is."""
    return _cache(environment) / "framepilot" / "images"


def ca_bundle(environment: Mapping[str, str]) -> Path | None:
    """The certificates that this machine trusts, where its environment names a file of them."""
    named = [Path(environment[name]) for name in CA_BUNDLE_VARIABLES if environment.get(name)]
    return next((path for path in named if path.is_file()), None)


def build_options(environment: Mapping[str, str]) -> list[str]:
    """How a RUN reaches the package index as this machine does; nothing of it stays in the image."""
    options = ["--build-arg=UV_CACHE_DIR=/run/uv-cache", f"--volume={_uv_cache(environment)}:/run/uv-cache"]
    certificates = ca_bundle(environment)
    if certificates is None:
        return options
    return [*options, f"--secret=id=ca-bundle,src={certificates}", "--build-arg=CA_BUNDLE=/run/secrets/ca-bundle"]


def _cache(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _uv_cache(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("UV_CACHE_DIR") or _cache(environment) / "uv")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(buildah: Buildah, image: Image, on: Base, environment: Mapping[str, str]) -> None:
    if os.geteuid() != 0:
        raise ImagesError("building images needs root (Buildah mounts file systems); run it as root")
    _uv_cache(environment).mkdir(parents=True, exist_ok=True)
    for target, name in ((BUILDER, f"localhost/framepilot-{BUILDER}:cache"), (image.target, image.name)):
        buildah.run(
            *["build", "--layers", "--pull-never", f"--build-arg=BASE={on.reference}", *build_options(environment)],
            *[f"--target={target}", f"--tag={name}", str(ROOT)],
            what=f"building {name}",
        )


def _build_samples(buildah: Buildah, image: Image, on: Base, samples: Path) -> None:
    buildah.run(
        *["build", "--layers", "--pull-never", f"--build-arg=BASE={on.reference}", f"--file={SAMPLES_DOCKERFILE}"],
        *[f"--tag={image.name}", str(samples)],
        what=f"building {image.name}",
    )


def _check_unchanged(buildah: Buildah, image: Image, on: Base) -> None:
    if tag(ROOT, image.target, on.key) != image.tag:
        buildah.remove([image.name])
        raise ImagesError(
            f"files in {ROOT} changed while {image.name} was built, so its tag would be wrong; run it again"
        )


def push(buildah: Buildah, image: Image, registry: Registry) -> None:
    # Buildah compresses whatever goes to a registry. The fastest level of zstd is pushed sooner than gzip, and a node
    # unpacks it in a quarter of the time.
    reference = image.reference(registry)
    buildah.run(
        *["push", "--quiet", "--tls-verify=false", "--compression-format=zstd", "--compression-level=1"],
        *[image.name, f"docker://{reference}"],
        what=f"pushing {reference}",
    )


def prune(buildah: Buildah, images: list[Image], registry: Registry) -> None:
    buildah.remove_containers()
    stored = buildah.images()
    old = [name for image in images for name in pruning.old_names(stored, f"localhost/{image.repository}", image.name)]
    left = pruning.without_names(stored, old)
    buildah.remove([*old, *pruning.leftovers(left)])
    for image in images:
        digests = registry.digests(image.repository)
        kept = {t for t in digests if any(Image(image.target, t).name in one.names for one in left)}
        for digest in pruning.deletable(digests, kept):
            if not registry.delete(image.repository, digest):
                sys.stderr.write(f"{registry.address} does not delete; its old images stay: {image.repository}\n")
                break
