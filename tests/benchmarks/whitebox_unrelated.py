"""What sharing costs where there is nothing to share, and what others feel of a swap with it and without."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from benchmarks.many_pipelines import SETTLE_S, ManyPipelines, first_frames, own_camera, same_cameras
from benchmarks.result import Gate, Result, quantile, spread
from benchmarks.turns import running, stop
from framepilot_app.models.verify import open_model
from support.samples.build import build as samples

MODELS = ("age", "gender", "centerface", "embedder")
SWAPPED = 0
CALM_FPS = 5.0
OVERHEAD = 0.02


def run(folder: Path, pairs: int, swaps: int, seconds: float) -> list[Result]:
    models = [open_model(samples() / "models" / name / "1") for name in MODELS]
    arms = {
        "sharing": ManyPipelines(folder / "ours", models, joint=False),
        "not sharing": ManyPipelines(folder / "theirs", models, "--no-share", joint=False),
    }
    apps = [each.app for each in arms.values()]
    try:
        with running(*apps):
            for each in arms.values():
                each.serve(first_frames)
                each.under(own_camera)
        return [_overhead(arms, pairs, seconds), _swaps(arms, swaps, seconds)]
    finally:
        stop(apps)


def _overhead(arms: dict[str, ManyPipelines], pairs: int, seconds: float) -> Result:
    fps: dict[str, list[float]] = {name: [] for name in arms}
    for pair in range(pairs):
        for name, each in [*arms.items()] if pair % 2 else [*arms.items()][::-1]:
            with running(each.app):
                each.window(SETTLE_S)
                fps[name].append(each.window(seconds).fps)
    ratios = [ours / theirs for ours, theirs in zip(fps["sharing"], fps["not sharing"], strict=True)]
    overhead = 1 - median(ratios)
    print(f"white box: unrelated models: {spread(ratios, 3)}", flush=True)
    return Result(
        title="Models that have nothing in common",
        method=f"The samples {', '.join(MODELS)} in four services, each with a camera of its own that gives frames as "
        f"fast as they are served. {pairs} pairs of windows of {seconds:g} s, in turn.",
        rows=[
            ("", "items/s"),
            *((name, spread(values, 0)) for name, values in fps.items()),
            ("sharing / not sharing, pair by pair", spread(ratios, 3)),
        ],
        figures={"unrelated_overhead": overhead},
        gates=[Gate("share of throughput that sharing costs unrelated models", overhead, OVERHEAD, at_least=False)],
    )


def _swaps(arms: dict[str, ManyPipelines], swaps: int, seconds: float) -> Result:
    calm = same_cameras(1, CALM_FPS)
    before: dict[str, list[float]] = {name: [] for name in arms}
    during: dict[str, list[float]] = {name: [] for name in arms}
    for swap in range(swaps):
        for name, each in arms.items():
            with running(each.app):
                each.under(calm)
                before[name] += each.others_ms(SWAPPED, seconds)
                version = "2" if swap % 2 == 0 else "1"
                swapped = open_model(samples() / "models" / MODELS[SWAPPED] / version)
                each.models = [swapped if number == SWAPPED else model for number, model in enumerate(each.models)]
                each.want(calm)
                during[name] += each.others_ms(SWAPPED, seconds)
                each.in_force()
    rows = [("", "p99 before, ms", "p99 meanwhile, ms")]
    rows += [(name, *(f"{quantile(each[name], 0.99):.0f}" for each in (before, during))) for name in arms]
    figures = {f"swap_p99_ms_{name.replace(' ', '_')}": quantile(during[name], 0.99) for name in arms}
    return Result(
        title="What the others feel of a swap",
        method=f"The same four, on one camera with {CALM_FPS:g} frames a second; {MODELS[SWAPPED]} is swapped "
        f"{swaps} times. Latencies of the other three, of {seconds:g} s from the change of desired state on.",
        rows=rows,
        figures=figures,
        gates=[],
    )
