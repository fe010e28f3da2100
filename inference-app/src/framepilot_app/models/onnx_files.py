"""The ONNX forms of models, kept in the instance's cache: `<digest of the model>-<form>.onnx`.

Writing one is Python for a second, most of it imports, so it is a process of its own at the lowest priority. Nothing
but this instance uses the files, and any of them can be written again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import Final

from framepilot_app.graphs.engine import EngineError
from framepilot_app.models.model import PROGRAM_FILE, Model
from framepilot_app.supervision.background import LOWEST_PRIORITY

WRITER: Final = "framepilot_app.graphs.onnx_writer"
FORM: Final = 1
"""What the writer writes for a program; another number makes files of earlier ones useless."""

UNFIT: Final = 3
"""The writer's exit status for a program that has no ONNX form."""

LIMIT_S: Final = 120.0
LOOK_S: Final = 0.02


class OnnxFiles:
    """The files below `folder`. Its methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, model: Model, given_up: threading.Event) -> Path:
        """The ONNX form of a verified model, written if it is not there yet.

        Raises:
            EngineError: it has none, it cannot be written, or `given_up` was set.
        """
        target = self._folder / f"{model.sha256}-{FORM}.onnx"
        if target.is_file():
            return target
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write(WRITER, (model.folder / PROGRAM_FILE, model.weights), target, given_up)
        except OSError as error:
            raise EngineError(f"its ONNX form cannot be written: {error}") from error
        return target

    def prune(self, keep: AbstractSet[str]) -> None:
        """Remove those of models whose digest is not in `keep`, and what was interrupted."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.suffix != ".onnx" or path.name.split("-")[0] not in keep:
                with suppress(OSError):
                    path.unlink()


def write(writer: str, sources: Sequence[Path], target: Path, given_up: threading.Event) -> None:
    """Have a writer, a module, write what these files hold as ONNX.

    Raises:
        EngineError: it cannot, or `given_up` was set.
        OSError: there is no process to be had.
    """
    status, said = _run([sys.executable, "-m", writer, *map(str, sources), str(target)], given_up)
    if status == UNFIT:
        raise EngineError(said)
    if status or not target.is_file():
        raise EngineError(f"its ONNX form cannot be written: {said or f'status {status}'}")


def _run(command: Sequence[str], given_up: threading.Event) -> tuple[int, str]:
    """Its exit status, and the last line that it said."""
    deadline = time.monotonic() + LIMIT_S
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)
        while process.poll() is None:
            if given_up.wait(LOOK_S) or time.monotonic() > deadline:
                process.kill()
                raise EngineError("its ONNX form was not written: given up" + ("" if given_up.is_set() else " by time"))
        said = process.stdout.read() if process.stdout else ""
    return process.returncode, said.strip().rpartition("\n")[2]
