"""The programs that come from the distribution, by Debian's names; what is there is left alone, whatever its origin."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from support.cluster.commands import follow, run
from support.cluster.errors import ClusterSetupError
from support.cluster.progress import progress

CNI_PLUGINS = Path("/usr/lib/cni")
NEEDED = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "docker-registry": "docker-registry",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "iptables": "iptables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "openssl": "openssl",
    "gcc": "gcc",
    str(CNI_PLUGINS / "bridge"): "containernetworking-plugins",
    "/usr/include/stdio.h": "libc6-dev",
}
"""A command or a file, and the package that brings it; the last of them are for building images (`support.images`)."""

SERVICES = {"etcd-server": "etcd", "containerd": "containerd", "docker-registry": "docker-registry"}
"""What some packages start on a machine with systemd; the cluster runs its own, on ports that these would hold."""


def missing(present: Callable[[str], bool]) -> tuple[str, ...]:
    """The packages to install."""
    return tuple(sorted(package for program, package in NEEDED.items() if not present(program)))


def install_missing() -> None:
    """Install what the machine lacks.

    Raises:
        ClusterSetupError: there is no apt-get, or it failed; the message says what is needed.
    """
    packages = missing(_present)
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise ClusterSetupError(
            f"this machine lacks {', '.join(packages)} (so Debian calls them) and has no apt-get: install them"
        )
    with progress(f"installing {' '.join(packages)}") as report:
        follow(["apt-get", "update"], report, DEBIAN_FRONTEND="noninteractive")
        follow(
            ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
            report,
            DEBIAN_FRONTEND="noninteractive",
        )
    if Path("/run/systemd/system").exists():
        for package in SERVICES.keys() & set(packages):
            run(["systemctl", "disable", "--now", SERVICES[package]])


def _present(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None
