"""What the kernel says of memory, as files that a test writes: control groups of version 1 or 2, and the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
GIB: Final = 1 << 30
NO_LIMIT: Final = {1: "9223372036854771712", 2: "max"}
"""As each version writes it."""
FILES: Final = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}


class MemoryTree:
    """`proc` and `cgroups` are below `folder`; the process is in `group`. Groups are there once they were written."""

    def __init__(
        self, folder: Path, group: str, version: int = 2, total: int = 64 * GIB, available: int = 32 * GIB
    ) -> None:
        self.proc = folder / "proc"
        self.cgroups = folder / "cgroups"
        self._version = version
        self._top = self.cgroups / "memory" if version == 1 else self.cgroups
        self._top.mkdir(parents=True)
        (self.proc / "self").mkdir(parents=True)
        line = f"0::{group}" if version == 2 else f"0::/\n4:memory:{group}\n3:cpuset:{group}"
        (self.proc / "self" / "cgroup").write_text(f"{line}\n")
        said = {"MemTotal": total, "MemFree": available // 2, "MemAvailable": available}
        lines = [f"{name}: {nbytes // 1024} kB" for name, nbytes in said.items()]
        (self.proc / "meminfo").write_text("\n".join([*lines, "HugePages_Total: 0", ""]))

    def group(
        self, path: str, limit: int | None, used: int, inactive_file: int = 0, active_file: int = 0, mapped: int = 0
    ) -> None:
        """Write what a group says, bytes; each file is replaced as a whole."""
        folder = self._top / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        prefix, mapped_name = ("total_", "mapped_file") if self._version == 1 else ("", "file_mapped")
        stat = {"inactive_file": inactive_file, "active_file": active_file, mapped_name: mapped}
        limit_file, used_file = FILES[self._version]
        texts = {
            limit_file: NO_LIMIT[self._version] if limit is None else str(limit),
            used_file: str(used),
            "memory.stat": "\n".join(f"{prefix}{name} {nbytes}" for name, nbytes in stat.items()),
        }
        for name, text in texts.items():
            temporary = folder / f"{name}.new"
            temporary.write_text(f"{text}\n")
            temporary.replace(folder / name)
