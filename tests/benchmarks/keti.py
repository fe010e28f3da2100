"""`python -m benchmarks.keti` (with tests/ in PYTHONPATH): stages and utilization by batch size; static and adaptive.

The experiment of Kum, Oh, Yeom and Moon, "Optimization of Edge Resources for Deep Learning Application with Batch and
Model Management" (Sensors 2022, 22(17), 6717), with the real app: how long pre-processing, inference and
post-processing take and how busy the device is, by batch size; then a batch that stays against one that follows, while
something else begins to use the device. Rewrites what follows the marker in docs/keti.md, and ends with one line of
JSON.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import plots
from benchmarks.machine import processor, ran_on
from benchmarks.page import up_to, write
from benchmarks.result import Result, told
from benchmarks.served_streams import Results, camera, window
from framepilot.contract.desired import Batch, Delivery, DesiredModule, DesiredSink, DesiredStream, ModelRef, Pipeline
from framepilot.contract.metrics import DEVICE_BUSY, MODULE_STAGE
from framepilot.contract.observed import ObservedState
from framepilot_app.app import cores
from framepilot_operator.planning.profile import from_observed
from framepilot_operator.tuning.memory import Look, TunerMemory
from framepilot_operator.tuning.policy import tune
from support.app_process import AppProcess, metric
from support.eventually import eventually
from support.samples.build import build as samples
from support.simulated_device import service
from support.snapshots import SERVICE, UID

PAGE = Path(__file__).parents[2] / "docs" / "keti.md"
MARKER = "<!-- What follows is written by make bench-keti. -->"
MODELS = ("age", "centerface", "embedder", "gender")
SIZES = (1, 2, 4, 8, 16, 32)
STAGES = ("pre", "infer", "post")
SERVED = "embedder"
STATIC = (1, 16)
STREAMS = 4
LOAD = 0.3
"""Share of what batches of 8 could serve that comes while static and adaptive batches are compared."""
OBJECTIVE_BATCHES = 4
"""The objective, in batches of 8."""
WAIT = 0.5
"""Share of the objective for which a static batch may wait to fill."""
PHASES = ("alone", "with a neighbour", "alone again")
PATIENCE_S = 300.0
LOOK_S = 1.0
SETTLE_S = 10.0


@dataclass(frozen=True)
class Stages:
    """Means at one batch size: milliseconds of an item (`pre`) or of a batch, share of time, items per second."""

    pre_ms: float
    infer_ms: float
    post_ms: float
    utilization: float
    items_per_s: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each model and batch size")
    parser.add_argument("--phase-seconds", type=float, default=8.0, help="with and without a neighbour")
    parser.add_argument("--note", default="", help="what else is to be said of the run, such as what else was running")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="framepilot-bench-") as folder:
        stages, device = _stages(Path(folder), given.seconds)
        followed = _static_and_adaptive(Path(folder), given.phase_seconds, stages[SERVED][8].infer_ms)
    results = [_by_size(stages, device), followed]
    command = f"python -m benchmarks.keti --seconds {given.seconds:g} --phase-seconds {given.phase_seconds:g}"
    machine = f"{processor()}, {cores()} cores; device class `{device}`"
    write(PAGE, up_to(MARKER, PAGE), ran_on(machine, command=command, note=given.note), results)
    return told(results)


def _pipeline(
    model: str, streams: Sequence[DesiredStream], batch: Batch, objective_ms: float, out: Path | None = None
) -> Pipeline:
    ref = ModelRef(name=model, version="1", uri=f"file://{samples()}/models/{model}/1")
    module = DesiredModule(name="face", budget_ms=objective_ms, batch=batch, model=ref)
    sinks = () if out is None else (DesiredSink(name="events", type="file", path=out, drops=True),)
    return Pipeline(
        service=SERVICE, uid=UID, objective_ms=objective_ms, streams=tuple(streams), modules=(module,), sinks=sinks
    )


def _in_force(app: AppProcess, pipeline: Pipeline) -> None:
    generation = app.want(pipeline)
    eventually(
        lambda: app.status().generation == generation and app.get("/readyz")[0] == 200,
        "what is wanted to be in force",
        timeout_s=PATIENCE_S,
        poll_s=0.25,
    )


def _stages(folder: Path, seconds: float) -> tuple[dict[str, dict[int, Stages]], str]:
    """By model and batch size, with frames as fast as they are served; and the device class."""
    streams = [
        camera(index).model_copy(update={"delivery": Delivery.LOSSLESS, "realtime": False}) for index in range(2)
    ]
    found: dict[str, dict[int, Stages]] = {}
    for model in MODELS:
        app = AppProcess(folder / model)
        try:
            for size in SIZES:
                # Full batches: nobody has a deadline that would hurry them.
                batch = Batch(size=size, limit=max(SIZES), max_wait_ms=5000)
                _in_force(app, _pipeline(model, streams, batch, 60_000))
                time.sleep(0.5)
                found.setdefault(model, {})[size] = _measured(app, seconds)
                print(f"keti: {model}, batches of {size}: {found[model][size]}", flush=True)
            device = app.status().device.device_class
        finally:
            app.stop()
    return found, device


def _measured(app: AppProcess, seconds: float) -> Stages:
    """Over so many seconds, and until every stage has ended at least once."""
    before, started = app.get("/metrics")[1], time.monotonic()
    while True:
        time.sleep(seconds)
        after, passed_s = app.get("/metrics")[1], time.monotonic() - started
        counts = {stage: _since(before, after, f"{MODULE_STAGE.name}_count", stage=stage) for stage in STAGES}
        if all(counts.values()):
            break
    means = {
        stage: 1000 * _since(before, after, f"{MODULE_STAGE.name}_sum", stage=stage) / count
        for stage, count in counts.items()
    }
    busy_s = _since(before, after, DEVICE_BUSY.name)
    items = _since(before, after, "framepilot_module_items_total")
    return Stages(means["pre"], means["infer"], means["post"], min(busy_s / passed_s, 1.0), items / passed_s)


def _since(before: str, after: str, name: str, **labels: str) -> float:
    return metric(after, name, **labels) - metric(before, name, **labels)


def _by_size(stages: dict[str, dict[int, Stages]], device: str) -> Result:
    head = ["model", "batch", "pre, ms an item", "infer, ms a batch", "infer, ms an item", "post, ms a batch"]
    rows = [[*head, f"{device}: busy", f"{device}: items/s"]]
    for model, sizes in stages.items():
        for size, each in sizes.items():
            times = (each.pre_ms, each.infer_ms, each.infer_ms / size, each.post_ms)
            rows.append(
                [model, str(size), *(f"{ms:.2f}" for ms in times), f"{each.utilization:.0%}", f"{each.items_per_s:.0f}"]
            )
    figures = {
        f"keti_{model}_{size}_items_per_s": each.items_per_s
        for model, sizes in stages.items()
        for size, each in sizes.items()
    }
    panels = {
        "Inference of an item, relative to batches of 1": {
            model: [(size, each.infer_ms / size / sizes[1].infer_ms) for size, each in sizes.items()]
            for model, sizes in stages.items()
        },
        "Share of the time in which the device runs batches": {
            model: [(size, each.utilization) for size, each in sizes.items()] for model, sizes in stages.items()
        },
    }
    plot = plots.lines("keti-batch-sizes", panels, ("batch size", ("ratio", "share")))
    return Result(
        title="Stages and utilization by batch size",
        method="Each model by itself, two lossless videos as fast as frames are served, batches always full. The batch "
        "is changed in the running app. Times are means; post includes the wait for a worker.",
        rows=rows,
        figures=figures,
        gates=[],
        plot=plot,
    )


def _static_and_adaptive(folder: Path, phase_s: float, eight_ms: float) -> Result:
    """`eight_ms`: what a batch of 8 takes; load and objective are the same for every way."""
    rows = [["batch", "phase", "in time", "p50, ms", "p99, ms", "device busy", "batch at the end"]]
    figures: dict[str, float] = {}
    sizes_by_way: dict[str, list[tuple[float, float]]] = {}
    for way in (*map(str, STATIC), "adaptive"):
        with _serving(folder / way, None if way == "adaptive" else int(way), eight_ms) as served:
            for phase in PHASES:
                with _neighbour(phase == PHASES[1]):
                    busy_before, started = _busy_s(served.app), time.monotonic()
                    results = window(served.out, phase_s)
                    busy = (_busy_s(served.app) - busy_before) / (time.monotonic() - started)
                in_time = _in_time(results, served.objective_ms)
                quantiles = (results.quantile_ms(0.5), results.quantile_ms(0.99))
                size = served.app.module(SERVICE, "face").batch.size
                rows.append(
                    [way, phase, f"{in_time:.1%}", *(f"{ms:.0f}" for ms in quantiles), f"{busy:.0%}", str(size)]
                )
                figures[f"keti_{way}_{phase.replace(' ', '_')}_in_time"] = in_time
                print(f"keti: {rows[-1]}", flush=True)
            sizes_by_way[way if way == "adaptive" else f"static {way}"] = served.sizes
    panels = {f"Batch in force; the neighbour is there from {phase_s:g} s to {2 * phase_s:g} s": sizes_by_way}
    plot = plots.lines("keti-adaptive", panels, ("seconds", ("batch size",)))
    return Result(
        title="Static and adaptive batches",
        method=f"The {SERVED} for {STREAMS} cameras that give {LOAD:.0%} of what batches of 8 can serve here; the "
        f"objective is {OBJECTIVE_BATCHES} of them, {OBJECTIVE_BATCHES * eight_ms:.0f} ms; late frames are dropped and "
        "count as late. The neighbour is a busy process for each core. Static batches wait for up to "
        f"{WAIT:.0%} of the objective to fill. Adaptive is the operator's planner and tuner on what `/status` says, "
        "each second.",
        rows=rows,
        figures=figures,
        gates=[],
        plot=plot,
    )


def _busy_s(app: AppProcess) -> float:
    return metric(app.get("/metrics")[1], DEVICE_BUSY.name)


def _in_time(results: Results, objective_ms: float) -> float:
    """Of what was delivered or dropped."""
    return results.attainment(objective_ms) * results.delivered / max(results.delivered + results.drops.total(), 1)


class _Served:
    """The app under even load, with a batch that stays, or that the tuner looks after in a thread of its own."""

    def __init__(self, app: AppProcess, out: Path, static: int | None, eight_ms: float) -> None:
        self.app, self.out = app, out
        self.objective_ms = round(OBJECTIVE_BATCHES * eight_ms)
        first = Batch(size=static or 1, limit=max(STATIC), max_wait_ms=WAIT * self.objective_ms if static else 0)
        _in_force(app, _pipeline(SERVED, [camera(0, fps=1)], first, 10_000))
        profile = from_observed(app.module(SERVICE, "face").profile)
        assert profile is not None
        self._profile = profile
        fps = max(1, round(LOAD * 8000 / eight_ms / STREAMS))
        self._pipeline = _pipeline(
            SERVED, [camera(index, fps=fps) for index in range(STREAMS)], first, self.objective_ms, out
        )
        self._service = service(f"{self.objective_ms}ms", STREAMS, max=max(STATIC))
        self._static = static
        self._memory: TunerMemory | None = None
        self.sizes: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_after)
        _in_force(app, self._pipeline)

    def start(self) -> None:
        """What the tuner finds in its first seconds belongs to no phase."""
        self._started = time.monotonic() + SETTLE_S
        self._thread.start()
        time.sleep(SETTLE_S)
        self.sizes.clear()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _look_after(self) -> None:
        while not self._over.wait(LOOK_S):
            state = self.app.status()
            self.sizes.append((time.monotonic() - self._started, state.modules[0].batch.size))
            if self._static is None:
                self._tune(state)

    def _tune(self, state: ObservedState) -> None:
        key, now = (SERVICE, "face"), time.time()
        look = Look(((self._service, UID),), {SERVICE: self._pipeline}, state, now, {key: self._profile}, {})
        decision, self._memory = tune(look, self._memory, now)
        (planned,) = decision.plans[SERVICE].modules
        (module,) = self._pipeline.modules
        if planned.batch != module.batch:
            changed = module.model_copy(update={"batch": planned.batch})
            self._pipeline = self._pipeline.model_copy(update={"modules": (changed,)})
            self.app.want(self._pipeline)


@contextmanager
def _serving(folder: Path, static: int | None, eight_ms: float) -> Iterator[_Served]:
    app = AppProcess(folder)
    try:
        served = _Served(app, folder / "events.jsonl", static, eight_ms)
        served.start()
        try:
            yield served
        finally:
            served.stop()
    finally:
        app.stop()


@contextmanager
def _neighbour(present: bool) -> Iterator[None]:
    processes = [multiprocessing.Process(target=_busy, daemon=True) for _ in range(cores() if present else 0)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _busy() -> None:
    while True:
        pass


if __name__ == "__main__":
    sys.exit(main())
