"""`python -m benchmarks.motion` (with tests/ in PYTHONPATH): what it saves to leave a still scene alone, and misses.

The real app runs each video for several services at once: one that runs every frame, and one for each value of
`change`. So for every frame it is known what there was to be found, and what the last frame that was run had found.
Rewrites what follows the marker in docs/motion.md, and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from benchmarks.machine import processor, ran_on
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
from framepilot_app.frames import Box, Image
from framepilot_app.modules.gate import Gate as DeviceGate
from framepilot_app.modules.inlet import Inlet
from framepilot_app.modules.line import Line
from support.app_process import AppProcess, delivered, metric
from support.eventually import eventually
from support.fake_engine import graph, module
from support.samples.build import build as samples

PAGE = Path(__file__).parents[2] / "docs" / "motion.md"
MARKER = "<!-- What follows is written by `make bench-motion`. -->"
CHANGES = (0.005, 0.01, 0.02, 0.05)
AT_LEAST_EVERY_MS = 2000.0
FPS = 10
"""What cameras give; the videos are capped at it."""
SAME = 0.5
"""Intersection over union from which two boxes show the same."""
SIZE = (768, 576)
"""Of the video that is made here, in pixels, as of `vtest`;"""
WIDTHS = (176, 88)
"""so wide is who comes,"""
HEIGHT_TO_WIDTH = 144 / 176
SHARES = [width * width * HEIGHT_TO_WIDTH / (SIZE[0] * SIZE[1]) for width in WIDTHS]
TOP = 250
ALONE_S, WALK_S, TALK_S = 10, 2, 8
"""and so long nobody is there, somebody comes, and stays."""
NOISE = 5.0
"""Standard deviation of its noise, in grey levels of each pixel and colour."""
OFF = "every frame"
PATIENCE_S = 300.0
PICTURES = ((1920, 1080), (3840, 2160))
ROUNDS = 200

Found = Mapping[int, Sequence[Box]]
"""The boxes of the frames that were run, by number."""


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
        app = AppProcess(folder / "app")
        try:
            results = [_cost(recorded), _saved(app, [_visitors(folder / "visitors.avi"), *recorded], folder)]
        finally:
            app.stop()
    machine = ran_on(f"{processor()}, {cores()} cores", f"OpenCV {cv2.__version__}", note=given.note)
    write(given.out, up_to(MARKER, given.out), machine, results)
    return told(results)


def _cost(videos: Sequence[Path]) -> Result:
    rows = [["picture", "of", "decoding, ms", "a still frame, ms", "one that is let through without `motion`, ms"]]
    figures = {}
    for video in videos:
        image, decode_ms = _decoded(video)
        rows.append(_cost_row(image, video.stem, f"{decode_ms:.2f}", figures))
    for width, height in PICTURES:
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        rows.append(_cost_row(image, "noise", "", figures))
    return Result(
        title="What a still frame costs",
        method="Processor time of a frame from the return of decode until it is accounted for; beside it that of one "
        f"that is let through, until it is handed to the workers: medians of {ROUNDS}. Decoding is a video's mean.",
        rows=rows,
        figures=figures,
        gates=[],
    )


def _decoded(video: Path) -> tuple[Image, float]:
    """Its last picture, and the milliseconds of processor time that one takes to decode."""
    source, began, frames = cv2.VideoCapture(str(video)), time.process_time(), 0
    image = None
    while (read := source.read())[0]:
        image, frames = read[1], frames + 1
    assert image is not None
    return image, 1000 * (time.process_time() - began) / frames


def _cost_row(image: Image, of: str, decoding: str, figures: dict[str, float]) -> list[str]:
    height, width = image.shape[:2]
    still = _offer_ms(image, DesiredMotion(change=0.01, at_least_every_ms=1e9))
    figures[f"motion_still_{width}x{height}_ms"] = still
    return [f"{width} x {height}", of, decoding, f"{still:.2f}", f"{_offer_ms(image, None):.2f}"]


def _offer_ms(image: Image, motion: DesiredMotion | None) -> float:
    """The first frame is run in either case, and not measured."""
    started = []
    of = graph(module())
    inlet = Inlet(
        service="bench/motion",
        declared=DesiredStream(name="camera", source="test://96x48", delivery=Delivery.LOSSLESS, motion=motion),
        objective_s=1.0,
        line=Line(lambda _outcome: None),
        graph=lambda: of,
        start=started.append,
        window=lambda: 2 * ROUNDS,
        gate=DeviceGate(lambda: 0.0),
    )
    took = []
    for sequence in range(ROUNDS + 1):
        began = time.thread_time()
        inlet.offer(image, 1, sequence, 10.0, 0.0)
        took.append(1000 * (time.thread_time() - began))
    assert len(started) == (ROUNDS + 1 if motion is None else 1)
    return median(took[1:])


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
        f"the first picture of `vtest` with noise ({NOISE:g} grey levels). Nothing happens for {ALONE_S} s; then "
        f"`carphone_pristine` comes in from the left for {WALK_S} s, talks for {TALK_S} s and leaves to the right for "
        f"{WALK_S} s; then all that again, and nothing for {ALONE_S} s. The first time it covers {SHARES[0]:.1%} of "
        f"the picture, the second time {SHARES[1]:.1%}. "
        "Device time is that of all batches, to that of every frame. Of all faces that are found in any frame when "
        "every frame is run, the share is given that the last frame run has, too (intersection over union of "
        f"{SAME} or more), and the longest time for which one and the same face was not in it.",
        rows=rows,
        figures=figures,
        gates=[
            Gate("frames of `visitors` run at the default", figures["motion_visitors_1%_run"], 0.5, at_least=False),
            Gate("faces of `visitors` there at the default", figures["motion_visitors_1%_found"], 0.9, at_least=True),
        ],
    )


def _visitors(path: Path) -> Path:
    """A fixed camera in front of which somebody stops now and then."""
    random = np.random.default_rng(0)
    talking = _pictures("carphone_pristine.mp4")[::3]
    talking = [*talking, *talking[::-1]]
    hall = _pictures("vtest.avi", 1)[0]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), FPS, SIZE)

    def write(picture: Image) -> None:
        writer.write(np.clip(picture + random.normal(0, NOISE, picture.shape), 0, 255).astype(np.uint8))

    for width in WIDTHS:
        size = (width, round(width * HEIGHT_TO_WIDTH))
        middle, end = (SIZE[0] - width) // 2, SIZE[0] - width
        way = [
            *np.linspace(0, middle, WALK_S * FPS),
            *[middle] * (TALK_S * FPS),
            *np.linspace(middle, end, WALK_S * FPS),
        ]
        for _ in range(ALONE_S * FPS):
            write(hall)
        for index, x in enumerate(way):
            picture, left = hall.copy(), round(x)
            picture[TOP : TOP + size[1], left : left + width] = cv2.resize(
                talking[index % len(talking)], size, interpolation=cv2.INTER_AREA
            )
            write(picture)
    for _ in range(ALONE_S * FPS):
        write(hall)
    writer.release()
    return path


def _pictures(name: str, most: int | None = None) -> list[Image]:
    source, found = cv2.VideoCapture(str(samples() / "videos" / name)), []
    while (most is None or len(found) < most) and (read := source.read())[0]:
        found.append(read[1])
    return found


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
        share, missed = _followed(every, found)
        compared[way] = Compared(
            run=len(found) / len(every),
            device_s=device[1] - device[0],
            faces=sum(map(len, every.values())),
            found=share,
            evenly=_followed(every, dict(_evenly(every, len(found))))[0],
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


def _evenly(every: Found, frames: int) -> Iterator[tuple[int, Sequence[Box]]]:
    """So many frames, the first among them, at equal distances."""
    for index in range(frames):
        number = index * len(every) // frames
        yield number, every[number]


def _followed(every: Found, run: Found) -> tuple[float, int]:
    """The share of all detections that the last frame run has, too, and for how many frames one was missed at most."""
    last: Sequence[Box] = ()
    before: list[tuple[Box, int]] = []
    detections = found = longest = 0
    for number in sorted(every):
        last = run.get(number, last)
        boxes = every[number]
        there = _matched(boxes, last)
        followed = _matched(boxes, [box for box, _ in before])
        now = []
        for index, box in enumerate(boxes):
            missed = 0 if index in there else 1 + (before[followed[index]][1] if index in followed else 0)
            longest = max(longest, missed)
            now.append((box, missed))
        detections, found, before = detections + len(boxes), found + len(there), now
    return found / detections if detections else 1.0, longest


def _matched(boxes: Sequence[Box], others: Sequence[Box]) -> dict[int, int]:
    """By index of a box: that of the other one which shows the same; the most alike first, each once."""
    pairs = sorted(
        (
            (_overlap(box, other), index, at)
            for index, box in enumerate(boxes)
            for at, other in enumerate(others)
            if box.label == other.label
        ),
        reverse=True,
    )
    matched: dict[int, int] = {}
    for overlap, index, at in pairs:
        if overlap >= SAME and index not in matched and at not in matched.values():
            matched[index] = at
    return matched


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box.x2 - box.x1) * (box.y2 - box.y1) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


if __name__ == "__main__":
    sys.exit(main())
