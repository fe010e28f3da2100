"""Programs of Debian packages for tests, unpacked into the cache: nothing is installed, and nobody needs to be root."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.samples.build import root

TIMEOUT_S = 120


def unpacked(name: str, packages: tuple[str, ...]) -> Path:
    """The folder that these packages were unpacked into; skips the test where there is no Debian to get them from."""
    folder = root().parent / "debian" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
                pytest.skip(f"needs {name}, and there is no apt-get here to get it with")
            _fetch(folder, packages)
    return folder


def _fetch(folder: Path, packages: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as building:
        if not _downloaded(building, packages):
            # A fresh machine has no lists of packages yet; only root can have them.
            subprocess.run(["apt-get", "update", "--quiet"], check=False, capture_output=True, timeout=TIMEOUT_S)
            assert _downloaded(building, packages), f"apt-get cannot download {' '.join(packages)}"
        whole = Path(building) / "whole"
        for package in Path(building).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, whole], check=True, capture_output=True)
        whole.rename(folder)


def _downloaded(folder: str, packages: tuple[str, ...]) -> bool:
    command = ["apt-get", "download", "--quiet", *packages]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, timeout=TIMEOUT_S).returncode == 0


def libraries(folder: Path) -> dict[str, str]:
    """The environment in which a program of an unpacked package finds its libraries."""
    found = sorted({str(path.parent) for path in folder.rglob("*.so.*")})
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(found)}
