"""Builds Kubernetes, helm, CoreDNS and kubeconform from their Go modules, once for each version, into the cache.

Beside the binaries stands a digest of what they were built from: a change of a go.mod or of our own main package builds
anew, and nothing else does.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from support.cluster import paths, versions
from support.cluster.commands import follow, run
from support.cluster.progress import progress
from support.cluster.toolchain import go

DIGEST = "built-from"


def build_missing() -> None:
    """Build what the cache lacks.

    Raises:
        ClusterSetupError: Go is missing, or a build failed.
    """
    for name in versions.MODULES:
        if not _built(name):
            _build(name, go())


def _built(name: str) -> bool:
    digest = paths.tool_folder(name) / DIGEST
    return digest.exists() and digest.read_text() == source_digest(versions.GO / name)


def _build(name: str, command: Path) -> None:
    folder = paths.tool_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    source = versions.GO / name
    packages = run([command, "list", "-deps", target(source)], cwd=source, GOTOOLCHAIN="local").splitlines()
    flags = f"-ldflags={linker_flags(name)}"
    with progress(f"building {name} {versions.version(name)}, once for all ({len(packages)} packages)") as report:
        follow(
            [command, "build", "-v", "-trimpath", "-buildvcs=false", flags, "-o", f"{folder}/", target(source)],
            report,
            cwd=source,
            total=len(packages),
            CGO_ENABLED="0",
            GOTOOLCHAIN="local",
        )
    (folder / DIGEST).write_text(source_digest(source))


def target(source: Path) -> str:
    """What to build of a module: its own main package, or the tools that its go.mod names."""
    return "." if (source / "main.go").exists() else "tool"


def linker_flags(name: str) -> str:
    """Kubernetes learns its version only this way: without it clients cannot parse what the server answers."""
    flags = ["-s", "-w"]
    if name == "kubernetes":
        version = versions.version(name)
        major, minor, _ = version.split(".")
        base, client = "k8s.io/component-base/version", "k8s.io/client-go/pkg/version"
        flags += [f"-X {base}.gitVersion=v{version}", f"-X {base}.gitMajor={major}", f"-X {base}.gitMinor={minor}"]
        flags += [f"-X {client}.gitVersion=v{version}"]
    return " ".join(flags)


def source_digest(source: Path) -> str:
    """Of everything that a tool is built from."""
    digest = hashlib.sha256()
    for file in sorted(source.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
