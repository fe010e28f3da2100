"""Buildah with a storage of its own below the cache, so that what it holds is ours and may be removed.

Everything that a command prints goes to stderr: stdout belongs to the caller's answer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN_ROOT = Path("/run/framepilot-images")
"""Buildah's record of what is mounted; it has to be gone after a restart of the machine, as /run is."""

BUSY = "sealing memfd copy: Device or resource busy"
"""Before a RUN, Buildah copies itself to sealed memory, which the kernel refuses while pages are in use elsewhere. That
happens on a loaded machine, now and then, and passes."""
ATTEMPTS = 4


class ImagesError(Exception):
    """An image that cannot be made: what happened, where, what to do."""


@dataclass(frozen=True)
class StoredImage:
    """An image in the storage; `layers` are the digests of its contents, lowest first, `created` as RFC 3339."""

    id: str
    names: tuple[str, ...]
    created: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Buildah:
    """`folder` holds the storage and what is temporary."""

    folder: Path

    def run(self, *arguments: str, what: str) -> None:
        """Run a command; `what` says in an error what could not be done."""
        command = self._command(arguments)
        for _ in range(ATTEMPTS):
            status, unlucky = self._shown(command)
            if not (status and unlucky):
                break
        if status:
            raise ImagesError(f"{what} failed: `{' '.join(command)}` ended with {status}; see above")

    def _shown(self, command: list[str]) -> tuple[int, bool]:
        """Run it and show what it prints; its exit status, and whether the kernel was busy."""
        unlucky = False
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self._environment()
        ) as running:
            for line in running.stdout or ():
                sys.stderr.write(line)
                unlucky = unlucky or BUSY in line
        return running.returncode, unlucky

    def output(self, *arguments: str) -> str | None:
        """What a command prints; None where it fails, as for an image that does not exist."""
        command = self._command(arguments)
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=self._environment())
        return done.stdout.strip() if done.returncode == 0 else None

    def label(self, image: str, name: str) -> str | None:
        """A label of an image in the storage; None without the image or the label."""
        found = self._inspect(image)
        return None if found is None else (found["OCIv1"]["config"].get("Labels") or {}).get(name)

    def digest(self, image: str) -> str | None:
        """The digest of an image's manifest; None without the image."""
        found = self._inspect(image)
        return None if found is None else found["FromImageDigest"]

    def images(self) -> list[StoredImage]:
        """All images, those that are only steps of builds too."""
        listed = json.loads(self.output("images", "--all", "--json", "--no-trunc") or "[]")
        return [self._stored(entry) for entry in listed]

    def remove(self, images: Sequence[str]) -> None:
        """Remove images, and the untagged ones below each that no other image stands on."""
        for image in images:
            if self._inspect(image) is not None:
                self.run("rmi", image, what=f"removing the image {image}")

    def remove_containers(self) -> None:
        """Remove what builds left that were interrupted."""
        self.run("rm", "--all", what="removing working containers")

    def _stored(self, entry: dict[str, Any]) -> StoredImage:
        found = self._inspect(entry["id"]) or {}
        layers = found.get("OCIv1", {}).get("rootfs", {}).get("diff_ids") or []
        created = found.get("OCIv1", {}).get("created", "")
        return StoredImage(entry["id"], tuple(entry.get("names") or ()), created, tuple(layers))

    def _inspect(self, image: str) -> dict[str, Any] | None:
        printed = self.output("inspect", "--type", "image", image)
        return None if printed is None else json.loads(printed)

    def _command(self, arguments: Sequence[str]) -> list[str]:
        program = installed("buildah")
        storage = ["--root", str(self.folder / "storage"), "--runroot", str(RUN_ROOT), "--storage-driver", "overlay"]
        return [program, *storage, *arguments]

    def _environment(self) -> Mapping[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return {**os.environ, "TMPDIR": str(temporary), "BUILDAH_ISOLATION": "chroot"}


def installed(program: str) -> str:
    """The path of a program of Debian's package of the same name."""
    path = shutil.which(program)
    if path is None:
        raise ImagesError(f"{program} is not installed; on Debian: apt-get install {program}")
    return path
