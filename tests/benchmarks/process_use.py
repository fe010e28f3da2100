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
