"""Twice the load that the device can take: what is delivered is in time, equals get equal shares, and it passes."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.result import Gate, Result
from benchmarks.served_streams import OBJECTIVE_MS, SETTLE_S, Results, ServedStreams, camera
from framepilot.contract.desired import Delivery

STREAMS = 10
LOAD = 2.0
HIGH = 90
BASE = 3
"""Streams that are there before, during and after the overload of the recovery: at half of the capacity."""


def jain(values: list[float]) -> float:
    """Jain's fairness index: 1 when all are equal, 1/n when one has everything."""
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values)) if any(values) else 0.0


def run(seconds: float) -> Result:
    """`seconds` for each of the phases."""
    with TemporaryDirectory(prefix="framepilot-bench-") as folder:
        served = ServedStreams(Path(folder), batch=8)
        try:
            capacity = _capacity_fps(served, seconds)
            fps = LOAD * capacity / STREAMS
            print(f"overload: the device takes {capacity:.0f} frames/s; offered {LOAD * capacity:.0f}/s", flush=True)
            equal = _phase(served, seconds, [camera(index, fps=fps) for index in range(STREAMS)])
            first = camera(0, fps=fps, priority=HIGH)
            favoured = _phase(served, seconds, [first, *(camera(index, fps=fps) for index in range(1, STREAMS))])
            recovery_s, after = _recovery(served, seconds, capacity)
        finally:
            served.app.stop()
    index = jain([float(len(equal.latencies_ms.get(f"camera-{number}", ()))) for number in range(STREAMS)])
    figures = {
        "capacity_fps": capacity,
        "attainment": equal.attainment(OBJECTIVE_MS),
        "jain": index,
        "delivered_to_capacity": equal.fps / capacity,
        "late_share": equal.reasons().get("late", 0) / max(equal.delivered, 1),
        "priority_share": favoured.share("camera-0"),
        "priority_attainment": favoured.attainment(OBJECTIVE_MS),
        "recovery_s": recovery_s,
        "delivered_share_after": after,
    }
    return Result(
        title="Twice the load",
        method=(
            f"The embedder on {STREAMS} looped videos, newest, objective {OBJECTIVE_MS} ms, batch 8, at {LOAD:g} times "
            f"what it delivers of lossless ones; {seconds:g} s each. Then one stream has priority {HIGH}, the others "
            f"50. Then {BASE} streams at half of the capacity get company for a while, to {LOAD:g} times the capacity."
        ),
        rows=[
            ["figure", "value"],
            ["capacity, frames/s", f"{capacity:.0f}"],
            ["delivered / capacity", f"{figures['delivered_to_capacity']:.2f}"],
            ["delivered in time", f"{figures['attainment']:.2%}"],
            ["p50 / p99, ms", f"{equal.quantile_ms(0.5):.0f} / {equal.quantile_ms(0.99):.0f}"],
            ["Jain's index of ten equal streams", f"{index:.4f}"],
            ["dropped, by reason", ", ".join(f"{reason} {count}" for reason, count in equal.reasons().items())],
            [f"delivered of the stream of priority {HIGH}", f"{figures['priority_share']:.1%}"],
            ["delivered in time, with it", f"{figures['priority_attainment']:.2%}"],
            ["last drop after the overload ended, s", f"{recovery_s:.2f}"],
            ["delivered of the streams that stay, afterwards", f"{after:.1%}"],
        ],
        figures=figures,
        gates=[
            Gate("delivered in time", figures["attainment"], 0.99, at_least=True),
            Gate("Jain's index between equal streams", index, 0.99, at_least=True),
            Gate("delivered of the stream of high priority", figures["priority_share"], 0.95, at_least=True),
            Gate("goal: delivered to capacity", figures["delivered_to_capacity"], 0.9, at_least=True),
            Gate("goal: last drop after the overload ended, s", recovery_s, 2.0, at_least=False),
        ],
    )


def _capacity_fps(served: ServedStreams, seconds: float) -> float:
    return _phase(served, seconds, [camera(index, delivery=Delivery.LOSSLESS) for index in range(STREAMS)]).fps


def _phase(served: ServedStreams, seconds: float, streams: list) -> Results:
    served.want(streams)
    time.sleep(SETTLE_S)
    return served.window(seconds)


def _recovery(served: ServedStreams, seconds: float, capacity: float) -> tuple[float, float]:
    """Seconds from the end of the overload to the last drop of a stream that stays; their share afterwards."""
    fps = capacity / 2 / BASE
    stay = [camera(index, fps=fps) for index in range(BASE)]
    company = round(LOAD * capacity / fps) - BASE
    _phase(served, seconds / 2, [*stay, *(camera(BASE + index, fps=fps) for index in range(company))])
    ended_at = time.time()
    served.want(stay)
    after = served.window(seconds / 2)
    last = max((at - ended_at for at in after.last_drop.values()), default=0.0)
    steady = served.window(seconds / 2)
    shares = [steady.share(stream.name) for stream in stay]
    return max(last, 0.0), sum(shares) / len(shares)
