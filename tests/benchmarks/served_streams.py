"""The embedder on many cameras in an app process of its own, and what it wrote of them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from framepilot.contract.desired import (
    Batch,
    Delivery,
    DesiredModule,
    DesiredSink,
    DesiredStream,
    ModelRef,
    Pipeline,
)
from framepilot.contract.events import DROPPED_TYPE
from support.app_process import COMMAND, AppProcess
from support.eventually import eventually
from support.samples.build import build as samples

SERVICE = "bench/streams"
VIDEOS = ("bikes.mp4", "carphone_pristine.mp4")
OBJECTIVE_MS = 250
LOOK_S = 0.25
SETTLE_S = 2.0


def camera(index: int, **fields: object) -> DesiredStream:
    """A looped video as a camera."""
    source = f"file://{samples()}/videos/{VIDEOS[index % len(VIDEOS)]}"
    stream = DesiredStream(name=f"camera-{index}", source=source, loop=True, realtime=False)
    return stream.model_copy(update={"delivery": Delivery.NEWEST, **fields})


@dataclass
class Results:
    """Lines of a file in a span of time: latencies of what was delivered, and drops, by stream."""

    seconds: float
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    drops: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_drop: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, lines: Iterable[bytes], seconds: float) -> Results:
        """Of events, or of lines that have no type and are deliveries."""
        results = cls(seconds)
        for line in lines:
            event = json.loads(line)
            data = event.get("data", event)
            if event.get("type") == DROPPED_TYPE:
                results.drops[data["stream"], data["reason"]] += 1
                results.last_drop[data["stream"]] = datetime.fromisoformat(event["time"]).timestamp()
            else:
                results.latencies_ms.setdefault(data["stream"], []).append(data["latencyMs"])
        return results

    @property
    def delivered(self) -> int:
        return sum(len(latencies) for latencies in self.latencies_ms.values())

    @property
    def fps(self) -> float:
        return self.delivered / self.seconds

    def share(self, stream: str) -> float:
        """The part of a stream's frames that was delivered."""
        delivered = len(self.latencies_ms.get(stream, ()))
        dropped = sum(count for (name, _), count in self.drops.items() if name == stream)
        return delivered / max(delivered + dropped, 1)

    def reasons(self) -> Mapping[str, int]:
        by_reason: Counter[str] = Counter()
        for (_, reason), count in self.drops.items():
            by_reason[reason] += count
        return by_reason

    def quantile_ms(self, q: float) -> float:
        """Of what was delivered; not a number if nothing was."""
        latencies_ms = [ms for latencies in self.latencies_ms.values() for ms in latencies]
        return float(np.quantile(latencies_ms, q)) if latencies_ms else float("nan")

    def attainment(self, objective_ms: float) -> float:
        """The part of what was delivered that was in time."""
        in_time = [ms <= objective_ms for latencies in self.latencies_ms.values() for ms in latencies]
        return float(np.mean(in_time)) if in_time else 0.0


class ServedStreams:
    """One app; what it shall serve is changed by `want`."""

    def __init__(
        self,
        folder: Path,
        batch: int = 16,
        sinks: Sequence[DesiredSink] = (),
        command: Sequence[str | Path] = (COMMAND,),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`sinks` get the results, too, beside the file that is read here; `command` starts the app."""
        self.app = AppProcess(folder / "app", command=command, environment=environment)
        self.out = folder / "events.jsonl"
        self._batch = batch
        self._sinks = (DesiredSink(name="events", type="file", path=self.out, drops=True), *sinks)

    def want(self, streams: Sequence[DesiredStream]) -> None:
        """Serve these, and wait until it does."""
        module = DesiredModule(
            name="embedding",
            budget_ms=OBJECTIVE_MS,
            batch=Batch(size=self._batch, limit=self._batch, max_wait_ms=10),
            model=ModelRef(name="embedder", version="1", uri=f"file://{samples()}/models/embedder/1"),
        )
        generation = self.app.want(
            Pipeline(
                service=SERVICE,
                uid="service",
                objective_ms=OBJECTIVE_MS,
                streams=tuple(streams),
                modules=(module,),
                sinks=self._sinks,
            )
        )

        def in_force() -> bool:
            return self.app.status().generation == generation and self.app.get("/readyz")[0] == 200

        eventually(in_force, "the streams to be served", timeout_s=300, poll_s=LOOK_S)

    def window(self, seconds: float) -> Results:
        """What comes of the frames of so many seconds from now on."""
        return window(self.out, seconds)


def window(out: Path, seconds: float) -> Results:
    """What is written to a file of lines in so many seconds from now on."""
    begin, started = out.stat().st_size if out.exists() else 0, time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - started
    with out.open("rb") as file:
        file.seek(begin)
        content = file.read()
    # A line that was under way at either end belongs to no window.
    lines = content.split(b"\n")
    first = 0 if begin == 0 else 1
    return Results.read((line for line in lines[first:-1] if line), took)
