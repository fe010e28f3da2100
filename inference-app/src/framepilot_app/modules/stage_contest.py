"""A stage on each engine that can run it, opened and measured on a thread beside the device thread.

Torch's is the one that serves. It is run here, too, under the same conditions: nothing of a compiled stage changes when
it runs, so two threads may run it at once.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch

from framepilot_app.graphs.engine import CompiledStage, EngineError, first_line
from framepilot_app.graphs.file_engines import FILE_ENGINES
from framepilot_app.graphs.stage import Stage
from framepilot_app.graphs.stage_engines import STAGE_ENGINES, open_stage
from framepilot_app.graphs.warm_up import compute_as_served
from framepilot_app.modules.contest import Contender, Contest
from framepilot_app.modules.loading import TORCH
from framepilot_app.modules.rivals import stopwatch, timed_runs
from framepilot_app.modules.stages import check_rows, zeros

CPU: Final = torch.device("cpu")


@dataclass(eq=False, slots=True)
class StageContest:
    """Who is left of the engines, and the stage on each of them."""

    contest: Contest = field(default_factory=Contest)
    compiled: dict[str, CompiledStage] = field(default_factory=dict)

    def add(self, name: str, compiled: CompiledStage) -> None:
        """One more."""
        self.compiled[name] = compiled
        self.contest.contenders.append(Contender(name, compiled))


def hold(
    stage: Stage,
    by_torch: CompiledStage,
    sizes: Sequence[int],
    onnx_file: Callable[[], Path],
    given_up: threading.Event,
) -> StageContest:
    """Open a stage on each engine beside torch, and run every size on all of them.

    Args:
        stage: what to run.
        by_torch: the same, compiled by torch.
        sizes: numbers of pictures, ascending.
        onnx_file: gives its ONNX form, or raises an EngineError; called once, if at all.
        given_up: set when nobody wants the result any more.
    """
    compute_as_served()
    found = StageContest()
    found.add(TORCH, by_torch)
    _open(found, onnx_file)
    if len(found.contest.contenders) > 1:
        _run_sizes(found, stage, sizes, given_up)
    return found


def _open(found: StageContest, onnx_file: Callable[[], Path]) -> None:
    missing = {engine: FILE_ENGINES[engine].missing() for engine in STAGE_ENGINES}
    file: Path | None = None
    # Not the error: it would hold what is opened here, until the garbage collector comes.
    without = ""
    for engine, reason in missing.items():
        if reason is not None:
            found.contest.refuse(engine.value, reason)
            continue
        if file is None and not without:
            try:
                file = onnx_file()
            except EngineError as error:
                without = str(error)
        if file is None:
            found.contest.refuse(engine.value, without)
            continue
        try:
            found.add(engine.value, open_stage(engine, file, torch.get_num_threads()))
        except Exception as error:  # noqa: BLE001 whatever an engine raises is its reason
            found.contest.refuse(engine.value, f"cannot take the stage: {first_line(error)}")


def _run_sizes(found: StageContest, stage: Stage, sizes: Sequence[int], given_up: threading.Event) -> None:
    contest, clock = found.contest, stopwatch()
    for position, size in enumerate(sizes):
        inputs = zeros(stage, size, CPU)
        for turn, contender in contest.in_turn():
            if given_up.is_set():
                contest.contenders.clear()
                return
            run = functools.partial(found.compiled[contender.name], *inputs)
            try:
                check_rows(run(), size)
                contender.measured(timed_runs(size, run, clock), anew=turn == 0)
            except EngineError as error:
                contest.drop(contender, str(error))
        contest.drop_slow(sizes[: position + 1])
