"""`python -m benchmarks.telemetry` (with tests/ in PYTHONPATH): what it costs to watch.

Writes docs/telemetry.md, and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

from aiohttp import web

from benchmarks.machine import processor, ran_on
from benchmarks.page import write
from benchmarks.result import Gate, Result, quantile, spread, told
from benchmarks.served_streams import SETTLE_S, ServedStreams, camera
from framepilot_app.app import cores
from framepilot_operator.cluster.port import Snapshot
from framepilot_operator.loop import Memory, reconcile
from framepilot_operator.telemetry.status_client import StatusClient
from support.app_process import AppProcess
from support.blind_app import COST, PARTS
from support.eventually import eventually
from support.memory_cluster import MemoryCluster
from support.snapshots import named

PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"
CAMERAS = 50
FPS = 25.0
SERVICES = 100
STATUS_S, METRICS_S = 1.0, 15.0
"""How often the operator and Prometheus ask."""
ASKED = 40
PASSES = 60
BEGINNING = """# What it costs to watch

Written by `make bench-telemetry`. What is watched says [the page of metrics](metrics.md), and how it is used
[the page of monitoring](monitoring.md)."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15, help="windows of the app with and without telemetry")
    parser.add_argument("--seconds", type=float, default=METRICS_S - SETTLE_S, help="of each window")
    given = parser.parse_args()
    results = [_throughput(given.pairs, given.seconds), _metrics(), asyncio.run(_operator())]
    command = f"python -m benchmarks.telemetry --pairs {given.pairs} --seconds {given.seconds:g}"
    write(PAGE, BEGINNING, ran_on(f"{processor()}, {cores()} cores", command=command), results)
    return told(results)


def _throughput(pairs: int, seconds: float) -> Result:
    """Windows in turn, of one app that records, or does not."""
    with TemporaryDirectory(prefix="framepilot-bench-") as folder:
        cost = Path(folder) / "cost"
        served = ServedStreams(
            Path(folder), command=(sys.executable, "-m", "support.blind_app"), environment={COST: str(cost)}
        )

        def tell(number: signal.Signals) -> tuple[Counter[str], float]:
            """Seconds of processors' time until now: of each part of telemetry, and of all."""
            cost.unlink(missing_ok=True)
            served.app.process.send_signal(number)
            eventually(cost.exists, "the app to say what it spent")
            spent = json.loads(cost.read_text())
            return Counter(spent["parts"]), spent["all"]

        fps: dict[bool, list[float]] = {True: [], False: []}
        shares: list[float] = []
        parts: Counter[str] = Counter()
        seconds_of_all = 0.0
        try:
            served.want([camera(index, fps=FPS) for index in range(CAMERAS)])
            for pair in range(pairs):
                for watched in (True, False) if pair % 2 else (False, True):
                    before = tell(signal.SIGUSR2 if watched else signal.SIGUSR1)
                    with _asked(served.app) if watched else nullcontext():
                        time.sleep(SETTLE_S)
                        fps[watched].append(served.window(seconds).fps)
                    if watched:
                        after = tell(signal.SIGUSR2)
                        spent, of_all = after[0] - before[0], after[1] - before[1]
                        shares.append(spent.total() / of_all)
                        parts += spent
                        seconds_of_all += of_all
                print(f"telemetry: pair {pair}: {fps[True][-1]:.1f} and {fps[False][-1]:.1f} frames/s", flush=True)
        finally:
            served.app.stop()
    ratios = [with_it / without for with_it, without in zip(fps[True], fps[False], strict=True)]
    return Result(
        title="Throughput",
        method=(
            f"{CAMERAS} cameras with more frames than the device can take, so that all processors are busy: what "
            f"telemetry takes of their time is what it costs of the throughput. Windows of {seconds:g} s with all "
            f"telemetry, asked for /status every {STATUS_S:g} s and for /metrics every {METRICS_S:g} s; timed is all "
            "that records, keeps and answers, on its threads, less what reading the clock takes, timed beside it. "
            "Next to each is a window in which the same app records nothing, keeps no history and is asked nothing; "
            "the throughputs tell how far a machine's own ups and downs go. Median and quartiles; parts are of all "
            "windows together."
        ),
        rows=[
            ("", ""),
            ("of the processors' time, with telemetry, %", spread([100 * share for share in shares], 2)),
            *((f"of it {part}", f"{100 * parts[part] / seconds_of_all:.2f}") for part in PARTS),
            ("frames/s with telemetry", spread(fps[True], 1)),
            ("frames/s without", spread(fps[False], 1)),
            ("with / without, pair by pair", spread(ratios, 3)),
        ],
        figures={"telemetry_processor_share": median(shares), "telemetry_throughput_ratio": median(ratios)},
        gates=[Gate("telemetry's share of the processors' time, %", 100 * median(shares), 1, at_least=False)],
    )


@contextmanager
def _asked(app: AppProcess) -> Iterator[None]:
    """Somebody asks as an operator and a Prometheus do."""
    over = Event()

    def ask(path: str, every_s: float) -> None:
        while not over.is_set():
            app.get(path)
            over.wait(every_s)

    asking = [Thread(target=ask, args=each) for each in (("/status", STATUS_S), ("/metrics", METRICS_S))]
    for thread in asking:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in asking:
            thread.join()


def _metrics() -> Result:
    with TemporaryDirectory(prefix="framepilot-bench-") as folder:
        served = ServedStreams(Path(folder))
        try:
            rows = [("", "median, ms", "95 %, ms", "kB")]
            figures: dict[str, float] = {}
            # One frame a second keeps every counter moving and the device idle; then more than it can take.
            for what, fps in (("idle", 1.0), ("overloaded", FPS)):
                served.want([camera(index, fps=fps) for index in range(CAMERAS)])
                time.sleep(5 * SETTLE_S)
                took_ms, size = _timed(served.app)
                rows.append((what, f"{median(took_ms):.0f}", f"{quantile(took_ms, 0.95):.0f}", f"{size / 1000:.0f}"))
                figures[f"telemetry_metrics_{what}_ms"] = median(took_ms)
        finally:
            served.app.stop()
    return Result(
        title="/metrics",
        method=f"{ASKED} answers of an app with {CAMERAS} cameras, half a second apart, to the last byte.",
        rows=rows,
        figures=figures,
        gates=[
            Gate("/metrics of an idle app, milliseconds", figures["telemetry_metrics_idle_ms"], 50, at_least=False),
            Gate("the same under overload", figures["telemetry_metrics_overloaded_ms"], 50, at_least=False),
        ],
    )


def _timed(app: AppProcess) -> tuple[list[float], int]:
    took_ms: list[float] = []
    text = ""
    for _ in range(ASKED):
        time.sleep(0.5)
        started = time.monotonic()
        _, text = app.get("/metrics")
        took_ms.append((time.monotonic() - started) * 1000)
    return took_ms, len(text)


class PolledCluster(MemoryCluster):
    """Its instances are asked over HTTP, one after the other as in a pass of the operator."""

    address = ""

    def __init__(self) -> None:
        super().__init__(*(named(f"service-{number}") for number in range(SERVICES)))
        self.client = StatusClient(10.0)

    async def observe(self) -> Snapshot:
        if self.address:
            for owner, instance in [*self.instances.items()]:
                state = await self.client.fetch(f"{self.address}/{owner.name}")
                self.instances[owner] = replace(instance, observed=state, observed_at=time.time())
        return await super().observe()


async def _operator() -> Result:
    cluster = PolledCluster()
    memory = Memory()
    for _ in range(4):
        memory = await reconcile(cluster, time.time, memory)
    states = {
        owner.name: instance.observed.model_dump_json(by_alias=True)
        for owner, instance in cluster.instances.items()
        if instance.observed
    }
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_answer, args=(states, theirs), daemon=True)
    server.start()
    try:
        cluster.address = f"127.0.0.1:{ours.recv()}"
        for _ in range(5):
            memory = await reconcile(cluster, time.time, memory)
        passes_ms = []
        for _ in range(PASSES):
            await asyncio.sleep(0.1)
            before = time.process_time()
            memory = await reconcile(cluster, time.time, memory)
            passes_ms.append((time.process_time() - before) * 1000)
    finally:
        await cluster.client.close()
        server.kill()
    return Result(
        title="The operator",
        method=(
            f"{SERVICES} services, each with an instance of its own that is asked for /status over HTTP in each pass; "
            "its counters move. The CPU time of a pass: asking, reading, deciding, and the statuses. The API server's "
            "part, which sends nothing while nothing changes, is not in it."
        ),
        rows=[
            ("", "CPU, ms"),
            ("a pass", spread(passes_ms, 0)),
            ("of a core, with a pass a second", f"{median(passes_ms) / 10:.0f}%"),
        ],
        figures={"operator_pass_ms": median(passes_ms)},
        gates=[],
    )


def _answer(states: dict[str, str], told: Connection) -> None:
    """Be the instances: each answer a little later than the one before."""
    parsed: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in states.items()}

    async def status(request: web.Request) -> web.Response:
        state = parsed[request.match_info["name"]]
        for module in state["modules"]:
            size = module["batch"]["size"]
            known = {each["size"]: each for each in module.get("batches", ())}
            batch = known.setdefault(size, {"size": size, "count": 0, "seconds": 0.0})
            batch["count"] += 10
            batch["seconds"] += 10 * (5 + size) / 1000
            module["batches"] = [*known.values()]
            module["arrived"] = module.get("arrived", 0) + 10 * size
        return web.json_response(state)

    async def serve() -> None:
        app = web.Application()
        app.add_routes([web.get("/{name}/status", status)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        told.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    sys.exit(main())
