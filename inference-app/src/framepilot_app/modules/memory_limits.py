"""How much memory this process may use, and what is used of it: of its control groups, else the machine, and of a GPU.

What counts for a limit is what cannot be taken back: all but pages of files that nobody has mapped. A group's parents
hold it as well, so all of them count. In a container without a namespace of its own for groups, the path that the
kernel says is not there: then the top of what is mounted is its group. Sources: cgroups(7), and cgroup-v2.rst and
cgroup-v1/memory.rst of Linux.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from framepilot.contract.observed import MemoryKind
from framepilot_app.modules.headroom import Room

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Files:
    """What a version of control groups calls its files and its counters; `below` is where it is mounted."""

    below: str
    limit: str
    used: str
    prefix: str
    mapped: str


_V1: Final = _Files("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_", "total_mapped_file")
_V2: Final = _Files("", "memory.max", "memory.current", "", "file_mapped")


def rooms(device: torch.device, proc: Path = PROC, cgroups: Path = CGROUPS) -> tuple[Room, ...]:
    """All limits that are in force, the tightest first; `proc` and `cgroups` are where the kernel says so."""
    found = [*host_rooms(proc, cgroups), *_gpu_rooms(device)]
    return tuple(sorted(found, key=lambda room: room.limit - room.used))


def host_rooms(proc: Path, cgroups: Path) -> tuple[Room, ...]:
    """The limits of the process's control groups, or if they have none that of the machine; none where nobody says."""
    try:
        machine = _machine(proc)
    except (OSError, ValueError, KeyError) as error:
        log.debug("the machine does not say how much memory it has: %s", error)
        machine = None
    limited = [room for room in _groups(proc, cgroups) if machine is None or room.limit < machine.limit]
    return tuple(limited or ([machine] if machine is not None else []))


def _machine(proc: Path) -> Room:
    lines = (line.split() for line in (proc / "meminfo").read_text(encoding="ascii").splitlines())
    # All in units of 1024 bytes.
    said = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}
    return Room(MemoryKind.HOST, said["MemTotal"], said["MemTotal"] - said["MemAvailable"], "this machine's memory")


def _groups(proc: Path, cgroups: Path) -> Iterator[Room]:
    for files, path in _paths(proc):
        top = cgroups / files.below
        folder = top / path.strip("/")
        folders = [folder, *folder.parents] if folder.is_dir() else [top]
        for each in folders:
            room = _group(each, files)
            if room is not None:
                yield room
            if each == top:
                break


def _paths(proc: Path) -> Iterator[tuple[_Files, str]]:
    """The groups that may limit this process's memory, from lines such as `4:memory:/pod` and `0::/pod`."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield _V1, path
        elif number == "0":
            yield _V2, path


def _group(folder: Path, files: _Files) -> Room | None:
    """One group; None if it has no limit, or does not say what it uses."""
    try:
        limit = (folder / files.limit).read_text(encoding="ascii").strip()
        if limit == "max":
            return None
        used = int((folder / files.used).read_text(encoding="ascii"))
        lines = (line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        stat = {words[0]: int(words[1]) for words in lines}
        cached = sum(stat.get(f"{files.prefix}{each}_file", 0) for each in ("inactive", "active"))
        free_at_will = max(0, cached - stat.get(files.mapped, 0))
        return Room(MemoryKind.HOST, int(limit), max(0, used - free_at_will), f"{files.limit} of its control group")
    except (OSError, ValueError, IndexError) as error:
        log.debug("%s does not say how much memory it may use: %s", folder, error)
        return None


def _gpu_rooms(device: torch.device) -> tuple[Room, ...]:
    if device.type != "cuda":
        return ()
    try:
        free, total = torch.cuda.mem_get_info(device)
    except RuntimeError as error:
        log.debug("the GPU does not say how much memory it has: %s", error)
        return ()
    # What torch keeps for its next tensors is free for these.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (Room(MemoryKind.GPU, total, total - free - kept, "the GPU's memory"),)
