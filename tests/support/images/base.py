"""The base image: the public one where it can be pulled, else one of the same Python, made from Debian's packages.

The one that is made is named like the public one, under localhost/, and carries the key of the recipe that it was made
by: another recipe, another base.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass

from support.images.buildah import Buildah, ImagesError, installed

RECIPE_LABEL = "dev.framepilot.recipe"


@dataclass(frozen=True)
class Recipe:
    """A Debian with Python. `venv` brings pip, with which the Dockerfile begins."""

    suite: str = "bookworm"
    packages: tuple[str, ...] = ("python3", "python3-venv", "ca-certificates")
    without: tuple[str, ...] = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
    but: tuple[str, ...] = ("/usr/share/doc/*/copyright",)
    environment: tuple[str, ...] = ("LANG=C.UTF-8",)
    command: str = "python3"

    @property
    def key(self) -> str:
        """A digest of it all."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Base:
    """`reference` for the Dockerfile's ARG BASE; `key` says which content that is."""

    reference: str
    key: str


def local_name(public: str) -> str:
    """What the base that is made here is called: docker.io/library/python:3.11 is localhost/python:3.11."""
    return f"localhost/{public.rpartition('/')[2]}"


def ensure(buildah: Buildah, public: str, recipe: Recipe) -> Base:
    """The base in Buildah's storage: one that is there, else pulled, else made."""
    made = Base(local_name(public), recipe.key)
    if buildah.label(made.reference, RECIPE_LABEL) == recipe.key:
        return made
    if buildah.digest(public) is None:
        buildah.output("pull", "--quiet", public)
    digest = buildah.digest(public)
    if digest is not None:
        return Base(public, digest)
    sys.stderr.write(f"{public} cannot be pulled here; making {made.reference} with mmdebstrap\n")
    make(buildah, made.reference, recipe)
    return made


def make(buildah: Buildah, name: str, recipe: Recipe) -> None:
    """Have an image of Debian's packages in Buildah's storage."""
    archive = buildah.folder / "base.tar"
    _bootstrap(recipe, str(archive))
    container = buildah.output("from", "scratch")
    if container is None:
        raise ImagesError("buildah cannot begin an image: `buildah from scratch` failed; is the disk full?")
    settings = [f"--env={setting}" for setting in recipe.environment]
    buildah.run("add", "--quiet", container, str(archive), "/", what=f"unpacking the base {name}")
    buildah.run(
        *["config", *settings, f"--cmd={recipe.command}", f"--label={RECIPE_LABEL}={recipe.key}", container],
        what=f"configuring the base {name}",
    )
    buildah.run("commit", "--quiet", "--rm", container, name, what=f"writing the base {name}")
    archive.unlink()


def _bootstrap(recipe: Recipe, archive: str) -> None:
    if os.geteuid() != 0:
        raise ImagesError("making a base image needs root (mmdebstrap and buildah mount file systems); run it as root")
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.without]
    included = [f"--dpkgopt=path-include={pattern}" for pattern in recipe.but]
    command = [
        *[installed("mmdebstrap"), "--quiet", "--variant=minbase", f"--include={','.join(recipe.packages)}"],
        *[*excluded, *included, recipe.suite, archive],
    ]
    done = subprocess.run(command, check=False, stdout=sys.stderr)
    if done.returncode:
        raise ImagesError(
            f"mmdebstrap ended with {done.returncode}, see above; it needs Debian's archive and its keyring "
            "(apt-get install debian-archive-keyring)"
        )
