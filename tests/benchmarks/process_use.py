"""What a process uses, as the kernel counts it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Use:
    """At one moment: seconds of all its threads' CPU time, MB of resident memory, open files, threads."""

    at: float
    cpu_s: float
    rss_mb: float
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Use:
        folder = Path(f"/proc/{pid}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        return cls(
            at=time.monotonic(),
            cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            rss_mb=int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20,
            files=len(list((folder / "fd").iterdir())),
            threads=int(fields[17]),
        )


@dataclass(frozen=True)
class Memory:
    """MB (10**6 bytes) of a process that nobody else has mapped, and that others have mapped, too, as libraries are."""

    private_mb: float
    common_mb: float

    @classmethod
    def of(cls, pid: int) -> Memory:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        mb = {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines}
        private_mb = mb["Private_Clean"] + mb["Private_Dirty"]
        return cls(private_mb, mb["Rss"] - private_mb)

    def times(self, processes: int) -> float:
        """MB of so many processes like it: the sum of their PSS, if nobody but they had the libraries mapped."""
        return processes * self.private_mb + self.common_mb
