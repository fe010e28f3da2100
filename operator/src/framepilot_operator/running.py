"""Which `framepilot up` processes run on this machine, and with which files and state: one small JSON file for each.

A file is believed only while the process that it names is alive; what a killed process left is removed by whoever reads
next.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError


class Running(BaseModel):
    """One running `framepilot up`. Times are Unix seconds, paths are absolute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pid: int
    files: tuple[Path, ...]
    state: Path
    started_at: float


def state_home(environment: Mapping[str, str]) -> Path:
    """Framepilot's folder for state of this user, by the XDG base directory specification."""
    home = environment.get("XDG_STATE_HOME", "")
    base = Path(home) if Path(home).is_absolute() else Path(environment.get("HOME", "/")) / ".local" / "state"
    return base / "framepilot"


def state_folder(home: Path, files: Sequence[Path]) -> Path:
    """The folder of the state of these files: the same whatever their order."""
    paths = sorted(str(file.resolve()) for file in files)
    digest = hashlib.sha256(os.fsencode(os.pathsep.join(paths))).hexdigest()[:12]
    return home / "state" / f"{files[0].stem}-{digest}"


@contextmanager
def registered(folder: Path, files: Sequence[Path], state: Path) -> Iterator[Running]:
    """Be listed as running with these files and this folder of the state, until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    running = Running(
        pid=os.getpid(),
        files=tuple(file.resolve() for file in files),
        state=state.resolve(),
        started_at=time.time(),
    )
    path = folder / f"{running.pid}.json"
    beside = path.with_suffix(".new")
    beside.write_text(running.model_dump_json(), encoding="utf-8")
    beside.replace(path)
    try:
        yield running
    finally:
        path.unlink(missing_ok=True)


def running(folder: Path) -> tuple[Running, ...]:
    """Every living process that is registered; the files of others are removed."""
    found: list[Running] = []
    for path in sorted(folder.glob("*.json")):
        try:
            entry = Running.model_validate_json(path.read_bytes())
        except (ValidationError, FileNotFoundError):
            path.unlink(missing_ok=True)
            continue
        if _alive(entry.pid):
            found.append(entry)
        else:
            path.unlink(missing_ok=True)
    return tuple(found)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
