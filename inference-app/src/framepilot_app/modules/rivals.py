"""The engines beside torch's, opened for a candidate on a thread beside the device thread.

They cannot be compiled in small steps, but let go of the interpreter, and here each runs every size once: what an
engine does at the first batch of a size (compile for it, take memory) is paid before the device thread meets it. Sizes
up to the one in force are measured again there, like torch's; larger ones only here, so that no step of loading is
longer than a batch that serves.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from framepilot.contract.desired import Engine
from framepilot.contract.observed import ProfilePoint
from framepilot.scheduling.latency import batch_sizes
from framepilot_app.graphs.engine import EngineError, first_line
from framepilot_app.graphs.file_engines import FILE_ENGINES
from framepilot_app.graphs.program import ImageInput
from framepilot_app.graphs.program_form import ProgramForm
from framepilot_app.modules.contest import Contender, Contest, timed_enough, timed_point


@dataclass(frozen=True, slots=True)
class Trial:
    """What every engine is tried with: the example's input, the size in force, and the largest one."""

    image: ImageInput
    example: torch.Tensor
    size: int
    limit: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """The batch sizes that are warmed."""
        return tuple(sorted({*batch_sizes(self.limit), *batch_sizes(self.size)}))

    def batch(self, size: int) -> torch.Tensor:
        """Items of the example, over and over."""
        items = self.example[torch.arange(size) % len(self.example)]
        return items.contiguous(memory_format=torch.channels_last)


def asked(engine: Engine, device: torch.device) -> tuple[Engine, ...]:
    """The engines beside torch's that are to be tried."""
    if engine is Engine.AUTO:
        tried = tuple(name for name, each in FILE_ENGINES.items() if each.tried_by_auto)
        return tried if device.type == "cpu" else ()
    return () if engine is Engine.TORCH else (engine,)


def open_rivals(
    engines: Sequence[Engine],
    form_file: Callable[[ProgramForm], Path],
    trial: Trial,
    device: torch.device,
    given_up: threading.Event,
) -> Contest:
    """Open each of these engines and run every size; those that cannot, or are clearly slower, are out with a reason.

    Args:
        engines: those that are asked for.
        form_file: gives the program in a form, or raises an EngineError; called once for each form.
        trial: what they run.
        device: where the program is to run.
        given_up: set when nobody wants the result any more.
    """
    contest, files = Contest(), _Files(form_file)
    for engine in engines:
        try:
            contest.contenders.append(_open(engine, files, trial.image, device))
        except EngineError as error:
            contest.refuse(engine.value, str(error))
    _run_sizes(contest, trial, given_up, stopwatch())
    return contest


class _Files:
    """The forms of one program, each asked for once."""

    def __init__(self, form_file: Callable[[ProgramForm], Path]) -> None:
        self._form_file = form_file
        self._known: dict[ProgramForm, Path | str] = {}
        """A file, or why there is none: the error would hold what is opened, until the garbage collector comes."""

    def get(self, form: ProgramForm) -> Path:
        if form not in self._known:
            try:
                self._known[form] = self._form_file(form)
            except EngineError as error:
                self._known[form] = str(error)
        found = self._known[form]
        if isinstance(found, str):
            raise EngineError(found)
        return found


def _open(engine: Engine, files: _Files, image: ImageInput, device: torch.device) -> Contender:
    found = FILE_ENGINES[engine]
    reason = "runs on a CPU only" if device.type != "cpu" else found.missing()
    if reason is not None:
        raise EngineError(reason)
    file = files.get(found.form)
    try:
        return Contender(engine.value, found.open_model(file, image, torch.get_num_threads()))
    except Exception as error:  # whatever an engine raises is its reason
        raise EngineError(f"cannot take the program: {first_line(error)}") from error


def stopwatch() -> Callable[[], float]:
    """The clock that engines are compared by, in seconds.

    Where one thread does all the work it is that thread's own time, which is the same however busy the machine is.
    """
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def _run_sizes(contest: Contest, trial: Trial, given_up: threading.Event, clock: Callable[[], float]) -> None:
    for position, size in enumerate(trial.sizes):
        batch = trial.batch(size)
        for contender in [*contest.contenders]:
            if given_up.is_set():
                contest.contenders.clear()
                return
            try:
                contender.compiled(batch)
                contender.points[size] = timed_runs(size, functools.partial(contender.compiled, batch), clock)
            except EngineError as error:
                contest.drop(contender, str(error))
        contest.drop_slow(trial.sizes[: position + 1])


def timed_runs(size: int, run: Callable[[], object], clock: Callable[[], float]) -> ProfilePoint:
    """Runs of one size, which were run before."""
    seconds: list[float] = []
    while not timed_enough(seconds):
        before = clock()
        run()
        seconds.append(clock() - before)
    return timed_point(size, seconds)
