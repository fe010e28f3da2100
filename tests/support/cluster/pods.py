"""Removes what pods are made of when nothing manages them any more: processes, mounts, cgroups, then the folders.

Whatever state kubelet and containerd were in when they ended, all of it can be found from outside: a container's
processes by its cgroup, containerd's shims by the socket they are given, mounts by the folder they lie in.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from support.cluster import paths, processes
from support.cluster.commands import run

CGROUPS = Path("/sys/fs/cgroup")
PODS_CGROUP = "kubepods"


def remove() -> None:
    """End the pods' processes, then take away their mounts and cgroups.

    Raises:
        ClusterSetupError: a process did not end, or a mount is still used.
    """
    processes.kill(_started(_in_cgroups()))
    processes.kill(_started(_shims()))
    mounted = mounts_below(Path("/proc/self/mountinfo").read_text(), (paths.CLUSTER, paths.RUN))
    for mount in mounted:
        run(["umount", mount])
    for top in _cgroups():
        for folder in sorted((each for each in top.rglob("*") if each.is_dir()), reverse=True):
            folder.rmdir()
        top.rmdir()


def remove_folders() -> None:
    """Everything of the cluster that is on the disk; nothing may be mounted there any more."""
    for folder in (paths.RUN, paths.CLUSTER):
        if folder.exists():
            shutil.rmtree(folder)


def mounts_below(mountinfo: str, folders: Iterable[Path]) -> list[Path]:
    """Mount points inside some folders, in an order in which they can be unmounted: the last one first.

    The format is that of /proc/self/mountinfo, see proc(5): field 5 is the mount point, with blanks as octal escapes.
    """
    points = [Path(_unescaped(line.split()[4])) for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if any(point.is_relative_to(folder) for folder in folders)]


def _unescaped(field: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _cgroups() -> list[Path]:
    """The pods' group in each hierarchy, of version 1 or 2."""
    return [path for path in (CGROUPS / PODS_CGROUP, *CGROUPS.glob(f"*/{PODS_CGROUP}")) if path.is_dir()]


def _in_cgroups() -> set[int]:
    files = [file for top in _cgroups() for file in top.rglob("cgroup.procs")]
    return {int(line) for file in files for line in file.read_text().split()}


def _shims() -> set[int]:
    found = set[int]()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if Path(words[0]).name.startswith("containerd-shim") and str(paths.CONTAINERD_SOCKET) in words:
            found.add(int(folder.name))
    return found


def _started(pids: Iterable[int]) -> dict[int, int]:
    starts = {pid: processes.started_at(pid) for pid in pids}
    return {pid: started for pid, started in starts.items() if started is not None}
