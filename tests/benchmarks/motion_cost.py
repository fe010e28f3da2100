"""What a still frame costs until it is accounted for, beside one that is let through."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from benchmarks.result import Result
from framepilot.contract.desired import Delivery, DesiredMotion, DesiredStream
from framepilot_app.frames import Image
from framepilot_app.modules.gate import Gate
from framepilot_app.modules.inlet import Inlet
from framepilot_app.modules.line import Line
from support.fake_engine import graph, module

PICTURES = ((1920, 1080), (3840, 2160))
ROUNDS = 200


def still_frame(videos: Sequence[Path]) -> Result:
    """In pictures of these videos, and in large ones."""
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
        gate=Gate(lambda: 0.0),
    )
    took = []
    for sequence in range(ROUNDS + 1):
        began = time.thread_time()
        inlet.offer(image, 1, sequence, 10.0, 0.0)
        took.append(1000 * (time.thread_time() - began))
    assert len(started) == (ROUNDS + 1 if motion is None else 1)
    return median(took[1:])
