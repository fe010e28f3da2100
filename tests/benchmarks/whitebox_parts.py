"""What each part of sharing is worth: the app without one of them at a time."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks import shared_backbone
from benchmarks.many_pipelines import SETTLE_S, ManyPipelines, first_frames, same_cameras
from benchmarks.process_use import Memory
from benchmarks.result import Result, spread
from benchmarks.turns import running, stop
from framepilot.contract.observed import ObservedState
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
    served: dict[str, list[float]] = {part: [] for part in arms}
    item_ms: dict[str, list[float]] = {part: [] for part in arms}
    try:
        with running(*apps):
            for each in arms.values():
                each.want(first_frames)
            for each in arms.values():
                each.in_force()
        fps = LEAST_FPS
        for each in reversed(arms.values()):
            with running(each.app):
                fps = each.highest_fps(CAMERAS, fps)
        print(f"white box: without a part, {CAMERAS} cameras of {fps:.1f} frames/s", flush=True)
        for part, each in arms.items():
            with running(each.app):
                each.under(same_cameras(CAMERAS, fps))
            memory_mb[part] = Memory.of(each.app.process.pid).times(1)
        for _ in range(rounds):
            for part, each in arms.items():
                with running(each.app):
                    each.window(SETTLE_S)
                    before = _used(each.app.status())
                    served[part].append(each.window(seconds).fps)
                    device_s, items = (after - b for after, b in zip(_used(each.app.status()), before, strict=True))
                    item_ms[part].append(1000 * device_s / max(items, 1))
    finally:
        stop(apps)
    ratios = {part: _to_whole(served, part) for part in arms}
    costs = {part: _to_whole(item_ms, part) for part in arms}
    rows = [
        ("without", "memory, MB", "items/s", "to all parts", "device time of an item, ms", "to all parts"),
        *(
            (
                *(part, f"{memory_mb[part]:,.0f}", spread(served[part], 0), spread(ratios[part])),
                *(spread(item_ms[part]), spread(costs[part])),
            )
            for part in arms
        ),
    ]
    return Result(
        title="What each part is worth",
        method=f"{pipelines} pipelines that share {PERCENT} % of the backbone, and {CAMERAS} cameras that all of them "
        "see, for all apps at the highest rate at which one of them leaves out hardly a frame. Each app is without one "
        "part, by changing it in its process; ratios are pair by pair. *Compilation* is that of a stage into one "
        "script; *results kept* are those of shared stages, for pipelines that come later with the same picture; "
        "*buffers kept*: memory that a batch has freed stays with the process for the next one.",
        rows=rows,
        figures={f"without_{part.replace(' ', '_')}": median(ratios[part]) for part in arms}
        | {f"item_ms_without_{part.replace(' ', '_')}": median(costs[part]) for part in arms},
        gates=[],
    )


def _used(state: ObservedState) -> tuple[float, int]:
    """Seconds of the device's time, and the items that had them."""
    return sum(each.device_s for each in state.pipelines), sum(each.items for each in state.modules)


def _to_whole(found: Mapping[str, Sequence[float]], part: str) -> list[float]:
    return [one / whole for one, whole in zip(found[part], found[WHOLE], strict=True)]
