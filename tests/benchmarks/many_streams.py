"""From one camera to fifty: Framepilot and the script that a user would write, same videos, same network."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.process_use import Use
from benchmarks.result import Gate, Result
from benchmarks.served_streams import SETTLE_S, VIDEOS, Results, ServedStreams, camera, window
from support.eventually import eventually
from support.samples.build import build as samples
from support.samples.build import root
from support.samples.packages import EMBEDDER, Files

FPS = 25.0
COUNTS = (1, 5, 10, 25, 50)


@dataclass(frozen=True)
class Measured:
    """A window of one program on so many cameras."""

    results: Results
    cpu: float
    rss_mb: float


def run(seconds: float, counts: Sequence[int] = COUNTS) -> Result:
    """`seconds` for each program and number of cameras."""
    rows = [["cameras", "frames offered /s", "program", "delivered /s", "p50, ms", "p99, ms", "cores", "MB"]]
    figures: dict[str, float] = {}
    gates = []
    measured: dict[tuple[str, int], Measured] = {}
    for count in counts:
        for name, program in (("framepilot", _framepilot), ("script", _script)):
            found = measured[name, count] = program(count, seconds)
            rows.append(
                [
                    str(count),
                    f"{count * FPS:.0f}",
                    name,
                    f"{found.results.fps:.1f}",
                    f"{found.results.quantile_ms(0.5):.0f}",
                    f"{found.results.quantile_ms(0.99):.0f}",
                    f"{found.cpu:.2f}",
                    f"{found.rss_mb:.0f}",
                ]
            )
            figures[f"{name}_{count}_fps"] = found.results.fps
            figures[f"{name}_{count}_p99_ms"] = found.results.quantile_ms(0.99)
            figures[f"{name}_{count}_cores_per_stream"] = found.cpu / count
            print(f"streams: {' '.join(rows[-1])}", flush=True)
        # A script that delivers nothing in the whole window delivers less than one frame in it.
        ratio = figures[f"framepilot_{count}_fps"] / max(figures[f"script_{count}_fps"], 1 / seconds)
        gates.append(Gate(f"goal: delivered on {count} cameras, to the script", ratio, 0.98, at_least=True))
    for name in ("framepilot", "script"):
        few, many = measured[name, counts[0]], measured[name, counts[-1]]
        per_stream = (many.rss_mb - few.rss_mb) / max(counts[-1] - counts[0], 1)
        figures[f"{name}_mb_per_stream"] = per_stream
        rows.append(["", "", f"{name}: memory of one more camera", "", "", "", "", f"{per_stream:.1f}"])
    return Result(
        title="From one camera to fifty",
        method=(
            f"Looped videos at {FPS:.0f} frames a second each, delivery newest, the embedder; {seconds:g} s each. The "
            "script is tests/benchmarks/plain_script.py. `cores` is CPU time by wall time, of all threads."
        ),
        rows=rows,
        figures=figures,
        gates=gates,
    )


def _framepilot(count: int, seconds: float) -> Measured:
    with TemporaryDirectory(prefix="framepilot-bench-") as folder:
        served = ServedStreams(Path(folder))
        try:
            served.want([camera(index, fps=FPS) for index in range(count)])
            return _measure(served.app.process.pid, served.out, seconds)
        finally:
            served.app.stop()


def _script(count: int, seconds: float) -> Measured:
    weights = Files(root() / "files").path(EMBEDDER)
    videos = [str(samples() / "videos" / VIDEOS[index % len(VIDEOS)]) for index in range(count)]
    with TemporaryDirectory(prefix="framepilot-bench-") as folder:
        out = Path(folder) / "out.jsonl"
        command = [sys.executable, "-m", "benchmarks.plain_script", str(weights), str(out), str(FPS), *videos]
        process = subprocess.Popen(command, env=dict(os.environ))
        try:
            return _measure(process.pid, out, seconds)
        finally:
            process.kill()
            process.wait()


def _measure(pid: int, out: Path, seconds: float) -> Measured:
    eventually(lambda: out.exists() and out.stat().st_size > 0, "the first results", timeout_s=120)
    time.sleep(SETTLE_S)
    before = Use.of(pid)
    results = window(out, seconds)
    after = Use.of(pid)
    return Measured(results, (after.cpu_s - before.cpu_s) / (after.at - before.at), after.rss_mb)
