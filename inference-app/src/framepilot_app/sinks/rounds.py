"""Which sinks one thread writes: those that would be held up by the same thing anyway.

Files of one mounted file system are on one disk; of two, one may hang while the other one goes on. Where a file is
mounted is read from the table of mounts, and nothing is asked of the file system itself.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Final

from framepilot.contract.desired import DesiredSink
from framepilot_app.sinks.round import Round

MOUNTS: Final = Path("/proc/self/mountinfo")
"""Of the process (proc_pid_mountinfo(5)): the fifth field of a line is where something is mounted."""


class Rounds:
    """Thread-safe."""

    def __init__(self, mounts: Path = MOUNTS) -> None:
        self._mounts = mounts
        self._lock = threading.Lock()
        self._of: dict[str, Round] = {}

    def of(self, sink: DesiredSink) -> Round:
        """Whose thread writes it: one for all files on a disk, one for standard output, and one for each receiver."""
        match sink.type:
            case "file" if sink.path is not None:
                fate = f"files-{self._mount(sink.path)}"
            case "stdout":
                fate = "stdout"
            case _:
                return Round(f"sink-{sink.name}")
        with self._lock:
            return self._of.setdefault(fate, Round(f"sinks-{fate}"))

    def _mount(self, path: Path) -> Path:
        """Where the file system of a path is mounted, as the path says it: links are not followed."""
        try:
            lines = self._mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except FileNotFoundError:
            return Path("/")
        whole = Path(os.path.abspath(path))  # noqa: PTH100 resolve() would ask the file system, which may hang
        mounted = (Path(_plain(line.split()[4])) for line in lines)
        within = (each for each in mounted if whole.is_relative_to(each))
        return max(within, key=lambda each: len(each.parts), default=Path("/"))


def _plain(escaped: str) -> str:
    """Without the octal escapes of blanks and the like."""
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), escaped)
