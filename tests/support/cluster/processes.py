"""Processes that outlive the command which started them, each known by its recorded id.

A record also holds when the process started (as the kernel counts it), so that an id which the kernel gave to another
process since is never taken for ours, and a digest of what it was started with, so that a change of its settings shows.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from support.cluster import paths
from support.cluster.errors import ClusterSetupError

STOP_TIMEOUT_S = 30.0
POLL_S = 0.05


@dataclass(frozen=True)
class Recorded:
    """A process that was started here. `started` is field 22 of its stat in /proc, see proc(5)."""

    pid: int
    started: int
    digest: str


def start(name: str, command: Sequence[str], digest: str) -> Recorded:
    """Start it in a session of its own; what it says goes to its log, after what it said before."""
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    paths.PROCESSES.mkdir(parents=True, exist_ok=True)
    with log_of(name).open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    recorded = Recorded(process.pid, started_at(process.pid) or 0, digest)
    _record_of(name).write_text(json.dumps(asdict(recorded)))
    return recorded


def running(name: str) -> Recorded | None:
    """Its record, if it still runs."""
    record = _record_of(name)
    if not record.exists():
        return None
    recorded = Recorded(**json.loads(record.read_text()))
    return recorded if started_at(recorded.pid) == recorded.started else None


def stop(name: str, patience_s: float = STOP_TIMEOUT_S) -> None:
    """End it: asked first, killed if it does not listen. Nothing happens if it does not run.

    Raises:
        ClusterSetupError: it is still there after it was killed.
    """
    recorded = running(name)
    if recorded is not None:
        process = {recorded.pid: recorded.started}
        _signal(process, signal.SIGTERM, patience_s)
        kill(process)
    _record_of(name).unlink(missing_ok=True)


def kill(processes: dict[int, int]) -> None:
    """End processes, given as id and start, without asking.

    Raises:
        ClusterSetupError: some are still there.
    """
    _signal(processes, signal.SIGKILL, STOP_TIMEOUT_S)
    if left := _left(processes):
        raise ClusterSetupError(f"processes {sorted(left)} do not end, not even killed: look at them with ps")


def _signal(processes: dict[int, int], what: signal.Signals, patience_s: float) -> None:
    """Send a signal to those that are still there, and wait until none is, or patience is at its end."""
    for pid in _left(processes):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)
    give_up_at = time.monotonic() + patience_s
    while _left(processes) and time.monotonic() < give_up_at:
        time.sleep(POLL_S)


def _left(processes: dict[int, int]) -> set[int]:
    return {pid for pid, started in processes.items() if started_at(pid) == started}


def started_at(pid: int) -> int | None:
    """When a process started; None if there is none, or if it ended and only waits to be reaped."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def log_of(name: str) -> Path:
    """Where a process writes what it says."""
    return paths.LOGS / f"{name}.log"


def _record_of(name: str) -> Path:
    return paths.PROCESSES / f"{name}.json"
