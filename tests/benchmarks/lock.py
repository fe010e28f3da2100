"""What a batch waits for Python's lock beside a thread that computes in Python: `python -m benchmarks.lock`.

The torch engine with the sample embedder, as it is, and without the references that torch has to the tensors of a
script (`graphs/script.py`), by turns. Needs tests/ in PYTHONPATH; ends with one line of JSON.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from unittest.mock import patch

import torch

from benchmarks.result import Result, spread, told
from framepilot_app import interpreter
from framepilot_app.graphs import script, torch_engine
from framepilot_app.graphs.engine import Compiled
from framepilot_app.graphs.warm_up import compute_as_served
from framepilot_app.models.verify import open_model
from support.networks import finish
from support.samples.build import build

BATCHES = (1, 8)
ROUNDS = 10
RUNS = 20
NEVER_KEPT = patch.object(script, "kept", lambda _: None)


def main() -> int:
    """Print a table, and the figures as JSON."""
    torch.set_num_threads(1)
    interpreter.follow(1)
    compute_as_served()
    return told([waiting()])


def waiting() -> Result:
    """Milliseconds of a batch, alone in its process and beside a thread that computes."""
    model = open_model(build() / "models" / "embedder/1")
    program, example = model.program(), model.example()
    kept = finish(torch_engine.compile(program, model.weights, torch.device("cpu")))
    with NEVER_KEPT:
        plain = finish(torch_engine.compile(program, model.weights, torch.device("cpu")))
    rows = [["batch", "alone, ms", "beside, ms", "beside without the references, ms", "without / with"]]
    figures = {}
    for size in BATCHES:
        batch = example.input[torch.arange(size) % len(example.input)].contiguous(memory_format=torch.channels_last)
        alone: list[float] = []
        beside: list[float] = []
        without: list[float] = []
        for _ in range(ROUNDS):
            alone.append(_ms(kept, batch))
            with _busy():
                beside.append(_ms(kept, batch))
                with NEVER_KEPT:
                    without.append(_ms(plain, batch))
        ratios = [one / other for one, other in zip(without, beside, strict=True)]
        figures[f"without_to_with_{size}"] = median(ratios)
        rows.append([str(size), spread(alone), spread(beside), spread(without), spread(ratios)])
    return Result(
        title="A batch beside a thread that computes in Python",
        method=f"The torch engine with the sample embedder on one thread, {ROUNDS} turns of {RUNS} batches each, by "
        "the clock; median and quartiles of the turns.",
        rows=rows,
        figures=figures,
        gates=[],
    )


def _ms(compiled: Compiled, batch: torch.Tensor) -> float:
    before = time.perf_counter()
    for _ in range(RUNS):
        compiled(batch)
    return 1000 * (time.perf_counter() - before) / RUNS


@contextmanager
def _busy() -> Iterator[None]:
    ended = threading.Event()

    def compute() -> None:
        number = 0
        while not ended.is_set():
            number += 1

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
