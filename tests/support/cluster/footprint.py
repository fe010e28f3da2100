"""What the cluster changes of the machine outside its own folders, written down before it starts and undone by `down`.

Kubernetes' parts write to some paths and settings of the kernel whatever one tells them; what was there before stays.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from support.cluster import network, paths

WRITTEN = (
    Path("/run/containerd"),
    Path("/var/lib/cni"),
    Path("/var/lib/kubelet"),
    Path("/var/log/containers"),
    Path("/var/log/pods"),
)
KERNEL = (
    *network.KERNEL,
    # These kubelet sets.
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


@dataclass(frozen=True)
class Footprint:
    """Paths that were not there, and what the settings of the kernel were."""

    absent: tuple[str, ...]
    kernel: dict[str, str]


def write_down() -> None:
    """Record how the machine is, once: before the cluster touches it."""
    if paths.FOOTPRINT.exists():
        return
    settings = {name: Path("/proc/sys") / name for name in KERNEL}
    found = Footprint(
        absent=tuple(str(path) for path in WRITTEN if not path.exists()),
        kernel={name: file.read_text().strip() for name, file in settings.items() if file.exists()},
    )
    paths.FOOTPRINT.parent.mkdir(parents=True, exist_ok=True)
    paths.FOOTPRINT.write_text(json.dumps(asdict(found), indent=2))


def undo() -> None:
    """Remove the paths that were not there, and set the settings to what they were."""
    found = Footprint(**json.loads(paths.FOOTPRINT.read_text()))
    for path in found.absent:
        shutil.rmtree(path, ignore_errors=True)
    for name, value in found.kernel.items():
        setting = Path("/proc/sys") / name
        if setting.exists() and setting.read_text().strip() != value:
            setting.write_text(value)
