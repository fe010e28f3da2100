"""An hour's worth of frames, faster than real time: memory, open files and threads must not grow."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.process_use import Use
from benchmarks.result import Gate, Result
from benchmarks.served_streams import ServedStreams, camera
from framepilot.contract.desired import Delivery

STREAMS = 3
HOUR_FRAMES = STREAMS * 25 * 3600
"""Three cameras of 25 frames a second, for an hour."""

LOOK_S = 1.0
WARM_SHARE = 0.3
"""Caches and pools fill up at first; slopes are of what comes after this share of the frames."""


def run(frames: int = HOUR_FRAMES) -> Result:
    """Until so many frames have been delivered."""
    with TemporaryDirectory(prefix="framepilot-bench-") as folder:
        served = ServedStreams(Path(folder))
        try:
            served.want([camera(index, delivery=Delivery.LOSSLESS) for index in range(STREAMS)])
            started = time.monotonic()
            points: list[tuple[int, Use]] = []
            while not points or points[-1][0] < frames:
                time.sleep(LOOK_S)
                # The results are not what is tested, and a disk is no bin.
                os.truncate(served.out, 0)
                points.append((served.app.status().frames.delivered, Use.of(served.app.process.pid)))
                if len(points) % 60 == 0:
                    print(f"soak: {points[-1][0]} of {frames} frames, {points[-1][1].rss_mb:.0f} MB", flush=True)
            seconds = time.monotonic() - started
            counts = served.app.status().frames
        finally:
            status = served.app.stop()
    warm = [point for point in points if point[0] >= WARM_SHARE * frames]
    delivered = [done for done, _ in warm]
    slopes = {
        name: float(np.polyfit(delivered, [getattr(use, name) for _, use in warm], 1)[0]) * HOUR_FRAMES
        for name in ("rss_mb", "files", "threads")
    }
    spans = {
        name: (min(getattr(use, name) for _, use in warm), max(getattr(use, name) for _, use in warm))
        for name in slopes
    }
    titles = {"rss_mb": "resident memory, MB", "files": "open files", "threads": "threads"}
    return Result(
        title="An hour's worth of frames",
        method=(
            f"The embedder on {STREAMS} looped videos, lossless, as fast as they go: {points[-1][0]} frames in "
            f"{seconds:.0f} s; an hour of {STREAMS} cameras at 25 frames a second has {HOUR_FRAMES}. Slopes are for "
            f"that many, fitted to the last {1 - WARM_SHARE:.0%}."
        ),
        rows=[
            ["what", "least", "most", "growth an hour"],
            *(
                [titles[name], f"{low:.0f}", f"{high:.0f}", f"{slopes[name]:+.2f}"]
                for name, (low, high) in spans.items()
            ),
        ],
        figures={f"soak_{name}_per_hour": slope for name, slope in slopes.items()} | {"soak_frames": points[-1][0]},
        gates=[
            Gate("exit status", status, 0, at_least=False),
            Gate("frames dropped", sum(counts.dropped.values()), 0, at_least=False),
            Gate("growth of open files in use", spans["files"][1] - spans["files"][0], STREAMS + 2, at_least=False),
            Gate("growth of threads in use", spans["threads"][1] - spans["threads"][0], STREAMS + 2, at_least=False),
            Gate("goal: growth of memory, MB an hour", slopes["rss_mb"], 10, at_least=False),
        ],
    )
