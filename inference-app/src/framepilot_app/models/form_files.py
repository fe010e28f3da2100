"""Forms of models that engines read, kept in the instance's cache: `<digest of the model>-<number>….<suffix>`.

Each is written by a process of its own at the lowest priority, one at a time for each form. Nothing but this instance
uses the files, and any of them can be written again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import torch

from framepilot_app.graphs.engine import EngineError
from framepilot_app.graphs.program_form import PARTIAL, UNFIT, ProgramForm
from framepilot_app.models.model import PROGRAM_FILE, Model
from framepilot_app.supervision.background import LOWEST_PRIORITY

LOOK_S: Final = 0.02


class FormFiles:
    """The files of one form, in a folder below `cache`. Its methods may be called from any thread."""

    def __init__(self, cache: Path, form: ProgramForm) -> None:
        self._folder = cache / form.name.lower()
        self._form = form
        self._writing = threading.Lock()

    def get(self, model: Model, given_up: threading.Event) -> Path:
        """A verified model in this form, written if it is not there yet.

        Raises:
            EngineError: it has none, it cannot be written, or `given_up` was set.
        """
        target = self._target(model.sha256)
        if target.is_file():
            return target
        # Who waits for another one's file is done with it.
        while not self._writing.acquire(timeout=LOOK_S):
            if given_up.is_set():
                raise not_written(self._form, "given up")
        try:
            if not target.is_file():
                self._write(model, target, given_up)
        except OSError as error:
            raise not_written(self._form, str(error)) from error
        finally:
            self._writing.release()
        return target

    def prune(self, keep: AbstractSet[str]) -> None:
        """Remove those of models whose digest is not in `keep`, what is of no use here, and what was interrupted.

        While one is being written nothing is removed.
        """
        if not self._writing.acquire(blocking=False):
            return
        try:
            kept = {self._target(sha256) for sha256 in keep}
            for path in self._folder.iterdir() if self._folder.is_dir() else ():
                if path not in kept:
                    _remove(path)
        finally:
            self._writing.release()

    def _target(self, sha256: str) -> Path:
        parts = (sha256, str(self._form.number), self._form.variant())
        return self._folder / ("-".join(filter(None, parts)) + self._form.suffix)

    def _write(self, model: Model, target: Path, given_up: threading.Event) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write(self._form, self._form.writer, (model.folder / PROGRAM_FILE, model.weights), target, given_up)


def write(form: ProgramForm, writer: str, sources: Sequence[Path], target: Path, given_up: threading.Event) -> None:
    """Have a writer, a module, bring what these files hold into a form.

    Raises:
        EngineError: it cannot, or `given_up` was set.
        OSError: there is no process to be had.
    """
    try:
        status, said = _run(form, [sys.executable, "-m", writer, *map(str, sources), str(target)], given_up)
    finally:
        _remove(target.with_suffix(PARTIAL))
    if status == UNFIT:
        raise EngineError(said)
    if status or not target.is_file():
        raise not_written(form, said or f"status {status}")


def _run(form: ProgramForm, command: Sequence[str], given_up: threading.Event) -> tuple[int, str]:
    """Its exit status, and the last line that it said: as its answer if there is one, else of its errors."""
    deadline = time.monotonic() + form.limit_s
    # What is compiled is for as many threads as will run it.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    # Files take all that a compiler may say. Its own group, so that what it started ends with it.
    with (
        tempfile.TemporaryFile("w+", errors="replace") as answer,
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(command, stdout=answer, stderr=errors, env=environment, process_group=0) as process,
    ):
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)
        while process.poll() is None:
            late = time.monotonic() > deadline
            if late or given_up.wait(LOOK_S):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise not_written(form, f"not done in {form.limit_s:g} s" if late else "given up")
        return process.returncode, _last_line(answer) or _last_line(errors)


def not_written(form: ProgramForm, reason: str) -> EngineError:
    """That there is no file, and why."""
    return EngineError(f"its {form.name} form cannot be written: {reason}")


def _last_line(written: IO[str]) -> str:
    written.seek(0)
    return written.read().strip().rpartition("\n")[2]


def _remove(path: Path) -> None:
    """A file or a folder, as far as it can be; there need not be one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
