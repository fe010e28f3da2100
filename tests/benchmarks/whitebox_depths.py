"""Many pipelines that share a backbone to some depth: in one app that shares, in one that does not, and in one each."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

from benchmarks import plots, shared_backbone
from benchmarks.many_pipelines import SETTLE_S, ManyPipelines, first_frames, own_camera, same_cameras
from benchmarks.process_use import Memory
from benchmarks.result import Gate, Result, quantile, spread
from benchmarks.turns import paused, running, stop
from framepilot_app.app import cores
from framepilot_app.graphs.difference import Common
from framepilot_app.models.model import Model
from support.eventually import eventually

CAMERAS = 2
CALM_FPS = 1.0
"""Of one camera that all pipelines see, when latencies are measured: what does not share can keep up with that, too."""
LEAST_FPS = 1.0
"""Of each camera, when the highest rate is looked for."""
MEMORY, THROUGHPUT = 25.0, 4.7
"""Times less and times more, as Pretzel reports (Lee et al., OSDI 2018)."""


@dataclass(frozen=True)
class Scale:
    """How much is measured: `seconds` of each window; the last depth is the whole backbone, in percent."""

    pipelines: int
    depths: Sequence[int]
    rounds: int
    seconds: float
    processes: int


@dataclass
class Served:
    """What was measured of one app: latencies in ms, throughput in items/s.

    `load_s`: for the n-th model, seconds until it served, and until it shared what it can.
    """

    load_s: dict[int, tuple[float, float]] = field(default_factory=dict)
    memory_mb: float = 0
    cold_ms: list[float] = field(default_factory=list)
    hot_ms: list[float] = field(default_factory=list)
    added_ms: list[float] = field(default_factory=list)
    same: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Depth:
    """At one depth, in percent of the backbone's nodes: with sharing and without, `ours` and `theirs`."""

    percent: int
    common: Common
    ours: Served
    theirs: Served

    @property
    def same_ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours.same, self.theirs.same, strict=True)]

    @property
    def own_ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours.own, self.theirs.own, strict=True)]


def run(folder: Path, scale: Scale) -> list[Result]:
    """All depths, one after the other."""
    depths: list[Depth] = []
    for percent in scale.depths:
        here = folder / f"depth-{percent}"
        models = shared_backbone.write(here / "store", percent, scale.pipelines)
        print(f"white box: {len(models)} models that share {percent} % are written", flush=True)
        depths.append(_depth(here, percent, models, scale, full=percent == scale.depths[-1]))
        if percent == scale.depths[-1]:
            one_each_mb = _one_each_mb(here, models[: scale.processes], scale.pipelines)
        shutil.rmtree(here)
    return [_memory(depths, one_each_mb, scale), _throughput(depths, scale), _latency(depths, scale)]


def _depth(folder: Path, percent: int, models: Sequence[Model], scale: Scale, *, full: bool) -> Depth:
    cache = ("--models-cache", str(folder / "cache"))
    arms = {
        ManyPipelines(folder / "ours", models, *cache): Served(),
        ManyPipelines(folder / "theirs", models, *cache, "--no-share", joint=False): Served(),
    }
    apps = [each.app for each in arms]
    try:
        with running(*apps):
            _bring_up(arms)
        _measure_latencies(arms, scale, full=full)
        _measure_throughput(arms, scale)
    finally:
        stop(apps)
    depth = Depth(percent, shared_backbone.in_common([*models]), *arms.values())
    same, own = (
        [spread(each, 0) for each in ways]
        for ways in ((depth.ours.same, depth.theirs.same), (depth.ours.own, depth.theirs.own))
    )
    print(f"white box: {percent} %, items/s sharing and not: {same} of the same cameras, {own} of own ones", flush=True)
    return depth


def _bring_up(arms: Mapping[ManyPipelines, Served]) -> None:
    """Model after model; the first, the tenth and the last one are loaded alone, and the other app stands still."""
    count = len(next(iter(arms)).models)
    before = 0
    for step in sorted({1, 9, 10, count - 1, count}):
        if step - before == 1:
            for each, served in arms.items():
                with paused(*(other.app for other in arms if other is not each)):
                    served.load_s[step] = each.serve(first_frames, step)
        else:
            for each in arms:
                each.want(first_frames, step)
            for each in arms:
                each.in_force()
        before = step


def _measure_latencies(arms: Mapping[ManyPipelines, Served], scale: Scale, *, full: bool) -> None:
    calm = same_cameras(1, CALM_FPS)
    last = len(next(iter(arms)).models) - 1
    for _ in range(scale.rounds if full else 1):
        for each, served in arms.items():
            with running(each.app):
                each.under(calm)
                served.hot_ms += each.others_ms(last, scale.seconds)
                served.memory_mb = Memory.of(each.app.process.pid).times(1)
                if full:
                    each.serve(calm, last)
                    each.window(SETTLE_S)
                    each.want(calm)
                    served.added_ms += each.others_ms(last, scale.seconds)
                    each.in_force()
    for each, served in arms.items():
        served.cold_ms = each.first_latencies_ms()


def _measure_throughput(arms: Mapping[ManyPipelines, Served], scale: Scale) -> None:
    fps: dict[ManyPipelines, float] = {}
    for each in reversed(arms):
        # What does not share is first: what it can serve the other one can serve as well.
        with running(each.app):
            fps[each] = each.highest_fps(CAMERAS, min(fps.values(), default=LEAST_FPS))
            each.under(same_cameras(CAMERAS, fps[each]))
    for _ in range(scale.rounds):
        for each, served in arms.items():
            with running(each.app):
                each.window(SETTLE_S)
                served.same.append(each.window(scale.seconds).fps)
    for each in arms:
        with running(each.app):
            each.under(own_camera)
    for _ in range(scale.rounds):
        for each, served in arms.items():
            with running(each.app):
                each.window(SETTLE_S)
                served.own.append(each.window(scale.seconds).fps)


def _one_each_mb(folder: Path, models: Sequence[Model], processes: int) -> float:
    """MB of so many processes of one model each, by what some of them take after they served some frames."""
    with ExitStack() as stack, ThreadPoolExecutor(cores()) as pool:

        def start(number: int) -> ManyPipelines:
            each = ManyPipelines(folder / f"one-{number}", models[number : number + 1])
            stack.callback(each.app.stop)
            each.serve(same_cameras(1, CALM_FPS))
            return each

        started = [*pool.map(start, range(len(models)))]
        for each in started:
            eventually(each.first_latencies_ms, "a frame")
        time.sleep(SETTLE_S)
        used = [Memory.of(each.app.process.pid) for each in started]
    private_mb, common_mb = mean(each.private_mb for each in used), mean(each.common_mb for each in used)
    print(f"white box: {len(used)} processes: {private_mb:.0f} MB each, {common_mb:.0f} MB in common", flush=True)
    return Memory(private_mb, common_mb).times(processes)


def _memory(depths: Sequence[Depth], one_each_mb: float, scale: Scale) -> Result:
    rows = [
        [
            *("shared, of the backbone's nodes", "of all nodes", "of the arithmetic", "of the parameters"),
            *("sharing, MB", "one process, not sharing, MB", "a process each, MB"),
            *("a process each / sharing", "not sharing / sharing"),
        ]
    ]
    figures: dict[str, float] = {"one_each_mb": one_each_mb}
    for depth in depths:
        ours, theirs, common = depth.ours.memory_mb, depth.theirs.memory_mb, depth.common
        figures[f"memory_{depth.percent}_mb"], figures[f"memory_apart_{depth.percent}_mb"] = ours, theirs
        rows.append(
            [
                f"{depth.percent}%",
                f"{common.nodes / common.all_nodes:.0%}",
                f"{common.flops_share:.1%}",
                f"{common.parameter_bytes / common.all_parameter_bytes:.1%}",
                *(f"{mb:,.0f}" for mb in (ours, theirs, one_each_mb)),
                f"{one_each_mb / ours:.1f}",
                f"{theirs / ours:.1f}",
            ]
        )
    ratio = figures["memory_to_one_each"] = one_each_mb / depths[-1].ours.memory_mb
    percent = [depth.percent for depth in depths]
    panels = {
        f"Memory of {scale.pipelines} pipelines in one process": {
            "sharing": [(depth.percent, depth.ours.memory_mb) for depth in depths],
            "not sharing": [(depth.percent, depth.theirs.memory_mb) for depth in depths],
        },
        "Items served a second, all pipelines see the same cameras": {
            "sharing": [(depth.percent, median(depth.ours.same)) for depth in depths],
            "not sharing": [(depth.percent, median(depth.theirs.same)) for depth in depths],
        },
    }
    labels = ("shared part of the backbone, percent of its nodes", ("MB", "items/s"))
    return Result(
        title=f"Memory of {scale.pipelines} pipelines",
        method=f"Each is a service of one module: the sample embedder with a linear layer of its own behind it. "
        f"{' and '.join(map(str, percent))} % of the backbone's nodes have the sample's weights, which are the same "
        "for all; the rest of the backbone has weights of each one's own, by a seeded generator. MB are 10**6 bytes "
        "of resident memory after some frames. *A process each* is "
        f"{scale.processes} real processes: {scale.pipelines} times what such a process has for itself, and once the "
        "libraries that they have in common; that is their PSS.",
        rows=rows,
        figures=figures,
        gates=[Gate("a process each to sharing, memory, whole backbone shared", ratio, MEMORY, at_least=True)],
        plot=plots.lines("white-box-depths", panels, labels),
    )


def _throughput(depths: Sequence[Depth], scale: Scale) -> Result:
    rows = [
        [
            *("shared", "same cameras: sharing, items/s", "not sharing, items/s", "ratio, pair by pair"),
            *("own cameras: sharing, items/s", "not sharing, items/s", "ratio, pair by pair"),
        ]
    ]
    figures: dict[str, float] = {}
    for depth in depths:
        ours, theirs = depth.ours, depth.theirs
        rows.append(
            [
                f"{depth.percent}%",
                *(spread(ours.same, 0), spread(theirs.same, 0), spread(depth.same_ratios)),
                *(spread(ours.own, 0), spread(theirs.own, 0), spread(depth.own_ratios)),
            ]
        )
        figures[f"same_cameras_{depth.percent}"] = median(depth.same_ratios)
        figures[f"own_cameras_{depth.percent}"] = median(depth.own_ratios)
    return Result(
        title=f"Throughput of {scale.pipelines} pipelines",
        method=f"Both in one process each, with and without `--no-share`, in turn: {scale.rounds} windows of "
        f"{scale.seconds:g} s, median and quartiles; the other one is stopped meanwhile. *Same cameras*: {CAMERAS} "
        "that all pipelines see, at the highest rate at which hardly a frame is left out. *Own cameras*: one for each "
        "pipeline, as fast as frames are served; then no picture is the same, and what is shared only makes batches "
        "fuller.",
        rows=rows,
        figures=figures,
        gates=[
            Gate(
                "sharing to not sharing, items/s, same cameras, whole backbone shared",
                median(depths[-1].same_ratios),
                THROUGHPUT,
                at_least=True,
            )
        ],
    )


def _latency(depths: Sequence[Depth], scale: Scale) -> Result:
    loads = [*depths[0].ours.load_s]
    rows = [
        [
            *("shared", "", "p99 cold, ms", "p99 hot, ms", "p99 of the others while one is added, ms"),
            *(f"model {number} serves (shares) after, s" for number in loads),
        ]
    ]
    figures: dict[str, float] = {}
    for depth in depths:
        for name, served in (("sharing", depth.ours), ("not sharing", depth.theirs)):
            key = f"{name.replace(' ', '_')}_{depth.percent}"
            cold, hot = quantile(served.cold_ms, 0.99), quantile(served.hot_ms, 0.99)
            added = f"{quantile(served.added_ms, 0.99):.0f}" if served.added_ms else ""
            times = [served.load_s[number] for number in loads]
            shares = name == "sharing"
            rows.append(
                [
                    *(f"{depth.percent}%", name, f"{cold:.0f}", f"{hot:.0f}", added),
                    *(f"{serves:.2f} ({joins:.2f})" if shares else f"{serves:.2f}" for serves, joins in times),
                ]
            )
            figures |= {f"cold_ms_{key}": cold, f"hot_ms_{key}": hot, f"last_load_s_{key}": times[-1][0]}
    return Result(
        title="Latency, and loading one more model",
        method="*Cold*: the first frame of each pipeline, while others are being loaded. *Hot*: one camera with "
        f"{CALM_FPS:g} frame a second that all pipelines see, so what does not share can keep up. Loading is on an "
        "idle app, from the writing of desired state.",
        rows=rows,
        figures=figures,
        gates=[],
    )
