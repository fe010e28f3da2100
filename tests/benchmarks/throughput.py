"""What the way around the model costs: a module's throughput against bare loops over the same network.

Three ways of running the embedder at batch 16, in turn, in one process with the same number of threads: the module
with all that belongs to it (admission, preparation of every picture, batching, decoding, delivery in order), a bare
loop over the compiled program with a batch that is ready, and a bare loop over the eager torch network.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import cv2
import torch

from benchmarks.result import Gate, Result, spread
from framepilot.contract.desired import Batch, Delivery, DesiredModule, ModelRef
from framepilot_app.app import prepare_process
from framepilot_app.graphs.engine import Compiled
from framepilot_app.graphs.warm_up import warm_up
from framepilot_app.models.model import Model
from framepilot_app.models.verify import open_model
from framepilot_app.modules.lane import Lane, Version
from framepilot_app.modules.line import Line
from framepilot_app.modules.loading import Candidate, load
from framepilot_app.modules.loadings import Loading
from support.running_modules import RunningModules
from support.samples.build import build as samples
from support.samples.build import root
from support.samples.embedder import load_embedder
from support.samples.packages import EMBEDDER, Files

BATCH = 16
ROUNDS = 25
ROUND_S = 1.0


def run() -> Result:
    prepare_process()
    torch.set_num_threads(1)
    warm_up(torch.device("cpu"))
    folder = samples()
    eager = load_embedder(Files(root() / "files").path(EMBEDDER))
    with _Running(open_model(folder / "models" / "embedder" / "1", None), _pictures(folder)) as running:
        compiled = running.load()
        batch = running.candidate.example.input.repeat(BATCH, 1, 1, 1).contiguous(memory_format=torch.channels_last)
        rates = _rates(
            {
                "Framepilot's module": running.rate,
                "bare loop, compiled program": lambda: _loop(compiled, batch),
                "bare loop, eager torch": lambda: _eager(eager, batch),
            }
        )
    module, bare, plain = rates.values()
    against_compiled = [ours / theirs for ours, theirs in zip(module, bare, strict=True)]
    against_eager = [ours / theirs for ours, theirs in zip(module, plain, strict=True)]
    rows = [["way", "items/s, median (quartiles)"], *([name, spread(values, 0)] for name, values in rates.items())]
    rows += [
        ["module / compiled loop, round by round", spread(against_compiled)],
        ["module / eager loop, round by round", spread(against_eager)],
    ]
    figures = {
        "module_items_per_s": median(module),
        "compiled_loop_items_per_s": median(bare),
        "eager_loop_items_per_s": median(plain),
        "module_to_compiled_loop": median(against_compiled),
        "module_to_eager_loop": median(against_eager),
    }
    return Result(
        title="Throughput of a module",
        method=f"The embedder at batch {BATCH}, torch on 1 thread, {ROUNDS} rounds of {ROUND_S:g} s each, in turn.",
        rows=rows,
        figures=figures,
        gates=[
            Gate("module to bare loop over the same program", figures["module_to_compiled_loop"], 0.90, at_least=True),
            Gate("module to bare eager loop", figures["module_to_eager_loop"], 1.0, at_least=True),
        ],
    )


def _rates(ways: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Items per second of each way, in every round."""
    for name, way in ways.items():
        way()
        print(f"throughput: {name} is warm", flush=True)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name].append(way())
    return rates


def _pictures(folder: Path) -> list:
    video = cv2.VideoCapture(str(folder / "videos" / "carphone_pristine.mp4"))
    pictures = []
    while (read := video.read())[0]:
        pictures.append(read[1])
    return pictures


def _loop(compiled: Compiled, batch: torch.Tensor) -> float:
    items, started = 0, time.perf_counter()
    while time.perf_counter() < started + ROUND_S:
        compiled(batch)
        items += BATCH
    return items / (time.perf_counter() - started)


def _eager(network: torch.nn.Module, batch: torch.Tensor) -> float:
    with torch.inference_mode():
        items, started = 0, time.perf_counter()
        while time.perf_counter() < started + ROUND_S:
            network(batch)
            items += BATCH
        return items / (time.perf_counter() - started)


class _Running(RunningModules):
    """One module as the app runs it, fed as fast as it takes frames."""

    def __init__(self, model: Model, pictures: list) -> None:
        ref = ModelRef(name="embedder", version="1", uri="file:///unused")
        entry = DesiredModule(name="m", budget_ms=1000, batch=Batch(size=BATCH, max_wait_ms=50), model=ref)
        super().__init__("bench/throughput", [entry])
        self.candidate = Candidate.read(model, self.device.parameters)
        self._pictures = pictures

    def load(self) -> Compiled:
        """Load the candidate and serve it."""
        versions: list[Version] = []
        device = torch.device("cpu")

        def switch(version: Version) -> None:
            versions.append(version)
            self.modules["m"].switch(Lane(self.service, "m", version, device))

        loading = Loading(
            load(self.candidate, device, BATCH, BATCH, time.perf_counter, switch, lambda _event: None), time.monotonic()
        )
        self.device.load(loading)
        loading.done.result()
        return versions[0].compiled

    def rate(self) -> float:
        """Frames delivered in one round, per second, from the first batch's end to the last one's."""
        stamps: list[float] = []
        line = Line(lambda _outcome: stamps.append(time.perf_counter()))
        inlet = self.inlet(line, Delivery.LOSSLESS, 1000.0, window=3 * BATCH)
        ending = threading.Event()

        def feed() -> None:
            sequence = 0
            while not ending.is_set():
                picture = self._pictures[sequence % len(self._pictures)]
                inlet.offer(picture, 0, sequence, time.monotonic(), 0.0)
                sequence += 1

        feeder = threading.Thread(target=feed)
        feeder.start()
        ending.wait(ROUND_S)
        counted = len(stamps)
        ending.set()
        inlet.close()
        feeder.join()
        while not line.empty:
            time.sleep(0.001)
        return (counted - BATCH) / (stamps[counted - 1] - stamps[BATCH - 1])
