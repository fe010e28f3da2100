"""What a live change costs those who are being served: swaps under load, and changes of the batch size.

A real app process serves real video without dropping, at 70 % of what it can take. Windows with a swap and windows
without one take turns; the windows without are the null control, because a busy machine alone moves a p99 a lot.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.result import Gate, Result, spread
from framepilot.contract.desired import (
    Batch,
    Delivery,
    DesiredModule,
    DesiredSink,
    DesiredStream,
    ModelRef,
    Pipeline,
)
from framepilot.contract.events import DELIVERED_TYPE
from framepilot.contract.observed import ObservedRollout
from framepilot.rollouts.state import RolloutState
from support.app_process import AppProcess
from support.eventually import eventually
from support.samples.build import build as samples

SERVICE = "bench/live"
SWAPS = 20
IDLE_LOADS = 5
BATCH_CHANGES = 100
STREAMS = 3
LOAD = 0.7
CALIBRATION_S = 8.0
SETTLE_S = 1.0
LOOK_S = 0.25
"""Looking costs the app time; looking all the time would be felt by those it serves."""


@dataclass(frozen=True)
class Window:
    """Frames delivered in a span of time: latencies in ms."""

    latencies_ms: list[float]
    seconds: float

    @property
    def p99_ms(self) -> float:
        return float(np.quantile(self.latencies_ms, 0.99))


class Sink:
    """The app's file sink, read from outside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.sequences: dict[tuple[str, int], list[int]] = {}
        self.dropped = 0

    def read(self) -> list[float]:
        """Latencies of what was delivered since the last call, ms."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole, _, _ = data.rpartition(b"\n")
        self._offset += len(whole) + 1 if whole else 0
        latencies = []
        for line in whole.splitlines():
            event = json.loads(line)
            if event["type"] != DELIVERED_TYPE:
                self.dropped += 1
                continue
            frame = event["data"]
            self.sequences.setdefault((frame["stream"], frame["epoch"]), []).append(frame["sequence"])
            latencies.append(frame["latencyMs"])
        return latencies

    def out_of_order(self) -> int:
        return sum(b <= a for seen in self.sequences.values() for a, b in pairwise(seen))

    def missing(self) -> int:
        """Sequence numbers that never came, between the first and the last of each epoch."""
        return sum(max(seen) + 1 - len(set(seen)) for seen in self.sequences.values())


class Served:
    """The embedder on three looped videos, lossless, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._samples = samples()
        self._out = folder / "events.jsonl"
        self.sink = Sink(self._out)
        self.app = AppProcess(folder / "app")
        self.version = "1"
        self.size = 4
        self.fps: float | None = None

    def want(self, *, version: str | None = None, size: int | None = None, streams: int = STREAMS) -> float:
        """Write a new generation; the Unix time at which the file was in place."""
        self.version, self.size = version or self.version, size or self.size
        uri = f"file://{self._samples}/models/embedder/{self.version}"
        module = DesiredModule(
            name="embedding",
            budget_ms=500,
            batch=Batch(size=self.size, limit=16, max_wait_ms=20),
            model=ModelRef(name="embedder", version=self.version, uri=uri),
        )
        videos = ("carphone_pristine.mp4", "bikes.mp4", "carphone_pristine.mp4")
        pipeline = Pipeline(
            service=SERVICE,
            uid="service",
            objective_ms=1000,
            streams=tuple(
                DesiredStream(
                    name=f"camera-{index}",
                    source=f"file://{self._samples}/videos/{videos[index]}",
                    fps=self.fps,
                    delivery=Delivery.LOSSLESS,
                    loop=True,
                    realtime=False,
                )
                for index in range(streams)
            )
            or (DesiredStream(name="nothing", source="test://96x48?fps=1", realtime=True),),
            modules=(module,),
            sinks=(DesiredSink(name="events", type="file", path=self._out, drops=True),),
        )
        self.app.want(pipeline)
        return time.time()

    def rollout(self) -> ObservedRollout | None:
        return next((module.rollout for module in self.app.status().modules), None)

    def wait_until_served(self, version: str) -> ObservedRollout:
        def served() -> bool:
            now = self.rollout()
            return now is not None and now.candidate == version and now.state is RolloutState.SERVING

        eventually(served, f"version {version} to serve", timeout_s=300, poll_s=LOOK_S)
        rollout = self.rollout()
        assert rollout is not None
        return rollout

    def capacity_fps(self) -> float:
        """Frames a second of each stream when nothing paces them."""
        self.want()
        self.wait_until_served(self.version)
        time.sleep(SETTLE_S)
        before, started = self.app.status().frames.delivered, time.perf_counter()
        time.sleep(CALIBRATION_S)
        return (self.app.status().frames.delivered - before) / (time.perf_counter() - started) / STREAMS

    def window(self, seconds: float) -> Window:
        self.sink.read()
        time.sleep(seconds)
        return Window(self.sink.read(), seconds)

    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.app.process.pid}/statm").read_text().split()[1])
        return pages * 4096 / 2**20


def run() -> list[Result]:
    with TemporaryDirectory(prefix="framepilot-bench-") as folder:
        served = Served(Path(folder))
        try:
            idle = _idle_loads(served)
            served.fps = LOAD * served.capacity_fps()
            print(
                f"live change: {LOAD:.0%} of capacity is {served.fps:.1f} fps on each of {STREAMS} streams", flush=True
            )
            served.want()
            time.sleep(SETTLE_S)
            swaps = _swaps(served, idle)
            batches = _batch_changes(served)
        finally:
            status = served.app.stop()
        assert status == 0
        return [swaps, batches]


def _idle_loads(served: Served) -> list[ObservedRollout]:
    served.want(streams=0)
    served.wait_until_served("1")
    loads = []
    for index in range(IDLE_LOADS):
        version = "2" if index % 2 == 0 else "1"
        served.want(version=version, streams=0)
        loads.append(served.wait_until_served(version))
    return loads


def _swaps(served: Served, idle: list[ObservedRollout]) -> Result:
    during: list[Window] = []
    nulls: list[Window] = []
    rollouts: list[ObservedRollout] = []
    memory: list[float] = []
    length = 2.0
    for index in range(SWAPS):
        nulls.append(served.window(length))
        served.sink.read()
        started = time.perf_counter()
        version = "1" if served.version == "2" else "2"
        served.want(version=version)
        rollouts.append(served.wait_until_served(version))
        time.sleep(SETTLE_S)
        length = time.perf_counter() - started
        during.append(Window(served.sink.read(), length))
        memory.append(served.rss_mb())
        print(
            f"swap {index + 1}/{SWAPS}: {length:.1f} s, p99 {during[-1].p99_ms:.0f} ms, "
            f"without {nulls[-1].p99_ms:.0f} ms, longest step {rollouts[-1].longest_step_ms:.1f} ms, "
            f"{memory[-1]:.0f} MB",
            flush=True,
        )
    nulls.append(served.window(length))
    around = [(before.p99_ms + after.p99_ms) / 2 for before, after in pairwise(nulls)]
    ratios = [window.p99_ms / null for window, null in zip(during, around, strict=True)]
    noise = [after.p99_ms / before.p99_ms for before, after in pairwise(nulls)]
    pauses = [rollout.pause_ms or 0.0 for rollout in rollouts]
    steps = [rollout.longest_step_ms or 0.0 for rollout in rollouts]
    idle_loads = [rollout.load_ms or 0.0 for rollout in idle]
    rate = [len(window.latencies_ms) / window.seconds for window in during]
    null_rate = [len(window.latencies_ms) / window.seconds for window in nulls]
    served.sink.read()
    figures = {
        "swaps": float(SWAPS),
        "lost": float(served.sink.missing()),
        "dropped": float(served.sink.dropped),
        "out_of_order": float(served.sink.out_of_order()),
        "pause_ms_max": max(pauses),
        "longest_step_ms_median": median(steps),
        "longest_step_ms_max": max(steps),
        "p99_during_to_without": median(ratios),
        "p99_null_to_null": median(noise),
        "completed_during_to_without": median(rate) / median(null_rate),
        "idle_load_ms_max": max(idle_loads),
        "rss_growth_mb_per_swap": float(
            np.polyfit(range(len(memory) // 2, len(memory)), memory[len(memory) // 2 :], 1)[0]
        ),
    }
    rows = [
        ["figure", "median (quartiles)", "largest"],
        ["p99 with a swap / without", spread(ratios), f"{max(ratios):.2f}"],
        ["p99 without / without before (noise)", spread(noise), f"{max(noise):.2f}"],
        ["frames completed a second with a swap", spread(rate, 1), ""],
        ["frames completed a second without", spread(null_rate, 1), ""],
        ["pause of the switch, ms", spread(pauses, 3), f"{max(pauses):.3f}"],
        ["longest step of loading, ms", spread(steps, 1), f"{max(steps):.1f}"],
        ["load in idle gaps (sum of steps), ms", spread(idle_loads, 0), f"{max(idle_loads):.0f}"],
        ["duration of a swap window, s", spread([window.seconds for window in during], 1), ""],
        ["resident memory after a swap, MB", spread(memory, 0), f"{max(memory):.0f}"],
    ]
    return Result(
        title="Swaps under load",
        method=(
            f"The embedder on {STREAMS} looped videos, lossless, at {LOAD:.0%} of capacity, batch 4: {SWAPS} swaps "
            f"between versions 1 and 2, each between two windows without a swap. {IDLE_LOADS} loads while idle."
        ),
        rows=rows,
        figures=figures,
        gates=[
            Gate("frames lost", figures["lost"], 0, at_least=False),
            Gate("frames dropped by a swap", figures["dropped"], 0, at_least=False),
            Gate("frames out of order", figures["out_of_order"], 0, at_least=False),
            Gate("load of the embedder in idle gaps, ms", figures["idle_load_ms_max"], 250, at_least=False),
            Gate("goal: p99 with a swap to without", figures["p99_during_to_without"], 1.1, at_least=False),
        ],
    )


def _batch_changes(served: Served) -> Result:
    delays, batch_ms = [], []
    for index in range(BATCH_CHANGES):
        size = (4, 8, 2, 16)[(index + 1) % 4]
        written_at = served.want(size=size)

        def in_force(expected: int = size) -> bool:
            return all(module.batch.size == expected for module in served.app.status().modules)

        eventually(in_force, "the batch size", poll_s=LOOK_S)
        module = served.app.status().modules[0]
        delays.append((module.batch.since - written_at) * 1000)
        batch_ms.append(max(point.p99_ms for point in module.profile))
    p99 = float(np.quantile(delays, 0.99))
    return Result(
        title="Changes of the batch size",
        method=(
            f"{BATCH_CHANGES} changes of the batch size in the desired-state file under the same load: from the file "
            "in its place to the policy that the next batch follows."
        ),
        rows=[
            ["figure", "median (quartiles)", "largest"],
            ["delay, ms", spread(delays, 1), f"{max(delays):.1f}"],
            ["the longest batch that can be running, ms", spread(batch_ms, 1), f"{max(batch_ms):.1f}"],
        ],
        figures={"batch_change_ms_p50": median(delays), "batch_change_ms_p99": p99},
        gates=[Gate("p99 of the delay before the running batch, ms", p99, 100, at_least=False)],
    )
