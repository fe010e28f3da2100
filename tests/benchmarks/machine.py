"""What a benchmark ran on."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path


def processor() -> str:
    """The name of the processor."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def ran_on(machine: str, *packages: str, command: str = "", note: str = "") -> str:
    """The line that says it: the machine, Python and packages with their versions, the day, the command, and a note."""
    versions = ", ".join([f"Python {platform.python_version()}", *packages])
    parts = [machine, versions, f"{datetime.now(UTC):%Y-%m-%d}", *([f"`{command}`"] if command else [])]
    return f"Machine: {'; '.join(parts)}. {note}".rstrip()
