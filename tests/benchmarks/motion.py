"""`python -m benchmarks.motion` (with tests/ in PYTHONPATH): what it saves to leave a still scene alone, and misses.

The real app runs each video for several services at once: one that runs every frame, and one for each value of
`change`. So for every frame it is known what there was to be found, and what the last frame that was run had found.
Rewrites what follows the marker in docs/motion.md, and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from benchmarks.machine import processor, ran_on
from benchmarks.motion_cost import still_frame
from benchmarks.motion_faces import SAME, Found, evenly, followed
from benchmarks.motion_visitors import VISITORS, write_visitors
from benchmarks.page import up_to, write
from benchmarks.result import Gate, Result, told
from framepilot.contract.desired import (
    Batch,
    Delivery,
    DesiredModule,
    DesiredMotion,
    DesiredSink,
    DesiredStream,
    ModelRef,
    Pipeline,
)
from framepilot.contract.metrics import MODULE_STAGE
from framepilot.contract.observed import StreamState
from framepilot_app.app import cores
from framepilot_app.frames import Box
from support.app_process import AppProcess, delivered, metric
from support.eventually import eventually
from support.samples.build import build as samples

PAGE = Path(__file__).parents[2] / "docs" / "motion.md"
MARKER = "<!-- What follows is written by `make bench-motion`. -->"
CHANGES = (0.005, 0.01, 0.02, 0.05)
AT_LEAST_EVERY_MS = 2000.0
FPS = 10
"""What cameras give; the videos are capped at it."""
OFF = "every frame"
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Compared:
    """What one way of choosing frames ran, and what it found of the faces of all frames: a share.

    `evenly`: the share with as many frames, chosen by the clock. `missed_s`: the longest time without a face.
    """

    run: float
    device_s: float
    faces: int
    found: float
    missed_s: float
    evenly: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page whose figures are written")
    parser.add_argument("--note", default="", help="what else is to be said of the run, such as what else was running")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with TemporaryDirectory(prefix="framepilot-bench-") as name:
        folder = Path(name)
        recorded = sorted((samples() / "videos").iterdir())
        visitors = write_visitors(folder / "visitors.avi", FPS)
        app = AppProcess(folder / "app")
        try:
            results = [still_frame(recorded), _saved(app, [visitors, *recorded], folder)]
        finally:
            app.stop()
    machine = ran_on(f"{processor()}, {cores()} cores", f"OpenCV {cv2.__version__}", note=given.note)
    write(given.out, up_to(MARKER, given.out), machine, results)
    return told(results)


def _saved(app: AppProcess, videos: Sequence[Path], folder: Path) -> Result:
    head = ["video", "`change`", "frames run", "device time", "faces in all frames", "that the last frame run has, too"]
    rows = [[*head, "the same, with as many frames chosen by the clock", "longest miss, s"]]
    figures: dict[str, float] = {}
    for video in videos:
        ways = _compared(app, video, folder)
        most_s = ways[OFF].device_s
        for way, each in ways.items():
            seen = [f"{each.found:.1%}", f"{each.evenly:.1%}", f"{each.missed_s:.1f}"] if each.faces else ["", "", ""]
            rows.append([video.stem, way, f"{each.run:.0%}", f"{each.device_s / most_s:.0%}", str(each.faces), *seen])
            figures[f"motion_{video.stem}_{way.replace(' ', '_')}_run"] = each.run
            if each.faces:
                figures[f"motion_{video.stem}_{way.replace(' ', '_')}_found"] = each.found
            print(f"motion: {rows[-1]}", flush=True)
    return Result(
        title="What is saved, and what is missed",
        method="The real app, centerface 2 and age 1 on every face, batches of one, lossless videos in real time at "
        f"{FPS} frames a second, `atLeastEvery: {AT_LEAST_EVERY_MS / 1000:g}s`; all values of `change` side by side, "
        "each as a service. `visitors` is made for this, so how few of its frames are run says nothing of your camera: "
        f"{VISITORS} Device time is that of all batches, to that of every frame. Of all faces that are found in any "
        "frame when every frame is run, the share is given that the last frame run has, too (intersection over union "
        f"of {SAME} or more), and the longest time for which one and the same face was not in it.",
        rows=rows,
        figures=figures,
        gates=[
            Gate("frames of `visitors` run at the default", figures["motion_visitors_1%_run"], 0.5, at_least=False),
            Gate("faces of `visitors` there at the default", figures["motion_visitors_1%_found"], 0.9, at_least=True),
        ],
    )


def _compared(app: AppProcess, video: Path, folder: Path) -> dict[str, Compared]:
    """By value of `change`, running every frame first. The services stay, from video to video."""
    ways = {OFF: None, **{_percent(change): change for change in CHANGES}}
    outs = {way: folder / f"{video.stem}-{index}.jsonl" for index, way in enumerate(ways)}
    services = {way: f"bench/change-{index}" for index, way in enumerate(ways)}
    before = app.get("/metrics")[1]
    generation = app.want(
        *(_pipeline(services[way], video, change, outs[way]) for way, change in ways.items()),
    )

    def over() -> bool:
        status = app.status()
        return status.generation == generation and all(
            each.state is StreamState.ENDED and not each.frames.in_flight for each in status.streams
        )

    eventually(over, f"{video.name} to end", PATIENCE_S, poll_s=0.5)
    after = app.get("/metrics")[1]
    every: Found = {}
    compared = {}
    for way, service in services.items():
        counts = app.stream(service, "camera").frames
        found = _found(outs[way], counts.delivered)
        every = every or found
        assert counts.ingested == len(every) == len(found) + counts.dropped.get("still", 0)
        device = [metric(text, f"{MODULE_STAGE.name}_sum", service=service, stage="infer") for text in (before, after)]
        share, missed = followed(every, found)
        compared[way] = Compared(
            run=len(found) / len(every),
            device_s=device[1] - device[0],
            faces=sum(map(len, every.values())),
            found=share,
            evenly=followed(every, dict(evenly(every, len(found))))[0],
            missed_s=missed / FPS,
        )
    return compared


def _percent(share: float) -> str:
    return f"{100 * share:g}%"


def _pipeline(service: str, video: Path, change: float | None, out: Path) -> Pipeline:
    motion = None if change is None else DesiredMotion(change=change, at_least_every_ms=AT_LEAST_EVERY_MS)
    stream = DesiredStream(
        name="camera", source=f"file://{video}", fps=FPS, delivery=Delivery.LOSSLESS, realtime=True, motion=motion
    )
    return Pipeline(
        service=service,
        uid=service,
        objective_ms=1000,
        streams=(stream,),
        modules=tuple(
            DesiredModule(
                name=name,
                inputs=inputs,
                budget_ms=500,
                batch=Batch(size=1, limit=1),
                model=ModelRef(name=name, version=version, uri=f"file://{samples()}/models/{name}/{version}"),
            )
            for name, version, inputs in (("centerface", "2", ()), ("age", "1", ("centerface",)))
        ),
        sinks=(DesiredSink(name="events", type="file", path=out),),
    )


def _found(out: Path, frames: int) -> Found:
    """What an app wrote of the frames that it ran, once all are written."""
    eventually(lambda: len(delivered(out)) == frames, f"{frames} events in {out}", PATIENCE_S)
    return {
        data["sequence"]: [
            Box(each["x1"], each["y1"], each["x2"], each["y2"], each["score"], each["label"])
            for each in data["modules"][0]["items"][0]["boxes"]
        ]
        for data in delivered(out)
    }


if __name__ == "__main__":
    sys.exit(main())
