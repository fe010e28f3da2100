"""What each part of sharing is worth: the app without one of them at a time."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from benchmarks import shared_backbone
from benchmarks.many_pipelines import SETTLE_S, ManyPipelines, first_frames, same_cameras
from benchmarks.process_use import Memory
from benchmarks.result import Result, spread
from benchmarks.turns import running, stop
from support.partial_app import PARTS

PERCENT = 75
CAMERAS = 2
LEAST_FPS = 2.0
WHOLE = "nothing"


def run(folder: Path, pipelines: int, rounds: int, seconds: float) -> Result:
    models = shared_backbone.write(folder / "store", PERCENT, pipelines)
    cache = ("--models-cache", str(folder / "cache"))
    arms = {WHOLE: ManyPipelines(folder / "whole", models, *cache)}
    for part in PARTS:
        command = (sys.executable, "-m", "support.partial_app", part)
        joint = part != "shared stages"
        arms[part] = ManyPipelines(folder / part, models, *cache, command=command, joint=joint)
    apps = [each.app for each in arms.values()]
    memory_mb: dict[str, float] = {}
    fps: dict[str, list[float]] = {part: [] for part in arms}
    try:
        with running(*apps):
            for each in arms.values():
                each.want(first_frames)
            for each in arms.values():
                each.in_force()
        for part, each in arms.items():
            with running(each.app):
                each.under(same_cameras(CAMERAS, each.highest_fps(CAMERAS, LEAST_FPS)))
            memory_mb[part] = Memory.of(each.app.process.pid).times(1)
        for _ in range(rounds):
            for part, each in arms.items():
                with running(each.app):
                    each.window(SETTLE_S)
                    fps[part].append(each.window(seconds).fps)
    finally:
        stop(apps)
    ratios = {part: [one / all_ for one, all_ in zip(fps[part], fps[WHOLE], strict=True)] for part in arms}
    rows = [
        ("without", "memory, MB", "items/s", "to all parts, pair by pair"),
        *((part, f"{memory_mb[part]:,.0f}", spread(fps[part], 0), spread(ratios[part])) for part in arms),
    ]
    return Result(
        title="What each part is worth",
        method=f"{pipelines} pipelines that share {PERCENT} % of the backbone, and {CAMERAS} cameras that all of them "
        "see, at the highest rate at which hardly a frame is left out. Each app is without one part, by changing it in "
        "its process. *Compilation* is that of a stage into one script; *results kept* are those of shared stages, for "
        "pipelines that come later with the same picture.",
        rows=rows,
        figures={f"without_{part.replace(' ', '_')}": median(ratios[part]) for part in arms},
        gates=[],
    )
