"""What a fault of one camera, or of one receiver of results, costs the other cameras, and how soon it is over.

Servers are real ones in processes of their own: GStreamer's for RTSP, mosquitto, HTTP servers. Each is killed, stopped,
started anew, made slow, and made to send garbage, while cameras that have nothing to do with it go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np

from benchmarks.result import Gate, Result
from benchmarks.served_streams import SETTLE_S, Results, ServedStreams, camera
from framepilot.contract.desired import Delivery, DesiredSink, DesiredStream
from framepilot.contract.observed import ObservedState
from support import gstreamer
from support.broker import Broker, free_port
from support.cameras.process import rtsp_camera, web_camera
from support.eventually import eventually
from support.relay import Passage, Relay
from support.webhook_receiver import ReceiverProcess

OTHERS = 4
FPS = 25.0
TIMEOUT_S = 2.0
"""After which a camera that is silent counts as stalled."""
LOOK_S = 0.02


class Server(Protocol):
    """A process that can fail."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


@dataclass
class Party:
    """A server and what of `/status` tells that it works: a count that grows with each thing it gives or takes."""

    name: str
    server: Server
    relay: Relay
    progress: Callable[[ObservedState], int]


@dataclass(frozen=True)
class Fault:
    """How a server fails, and how it comes back."""

    name: str
    begin: Callable[[Party], None]
    end: Callable[[Party], None]


def _passage(passage: Passage) -> Callable[[Party], None]:
    def change(party: Party) -> None:
        party.relay.passage = passage

    return change


FAULTS = (
    Fault("killed", lambda party: party.server.kill(), lambda party: party.server.start()),
    Fault("stopped (SIGSTOP)", lambda party: party.server.freeze(), lambda party: party.server.thaw()),
    Fault("slow", _passage(Passage.SLOW), _passage(Passage.WHOLE)),
    Fault("garbage", _passage(Passage.GARBAGE), _passage(Passage.WHOLE)),
)


@dataclass
class Found:
    """Of one fault of one party, over all its rounds: latencies of the other cameras, and how it went on.

    `calm_p99_ms` has the p99 of each span before a fault.
    """

    calm_ms: list[float] = field(default_factory=list)
    fault_ms: list[float] = field(default_factory=list)
    calm_p99_ms: list[float] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)
    other_drops: int = 0

    def ratio(self) -> float:
        """The other cameras' p99 during the fault, to that of the time before it."""
        return float(np.quantile(self.fault_ms, 0.99) / np.quantile(self.calm_ms, 0.99))


def run(seconds: float, rounds: int = 2) -> Result:
    """`seconds` of each fault and of the calm before it, `rounds` times."""
    found: dict[tuple[str, str], Found] = {}
    with TemporaryDirectory(prefix="framepilot-bench-") as folder, _served(Path(folder)) as (served, parties):
        for party in parties * rounds:
            for fault in FAULTS:
                one = found.setdefault((party.name, fault.name), Found())
                _once(served, party, fault, seconds, one)
                print(
                    f"faults: {party.name} {fault.name}: ratio {one.ratio():.2f}, back after {one.recovery_s[-1]:.1f} s"
                )
        balanced, lost = _accounted(served)
    return _result(seconds, rounds, found, balanced, lost)


def _once(served: ServedStreams, party: Party, fault: Fault, seconds: float, found: Found) -> None:
    calm = served.window(seconds)
    fault.begin(party)
    failed = served.window(seconds)
    fault.end(party)
    before, ended_at = party.progress(served.app.status()), time.monotonic()
    eventually(
        lambda: party.progress(served.app.status()) > before,
        f"{party.name} to work again after it was {fault.name}",
        timeout_s=120,
        poll_s=LOOK_S,
    )
    found.recovery_s.append(time.monotonic() - ended_at)
    found.calm_ms += _others(calm)
    found.calm_p99_ms.append(float(np.quantile(_others(calm), 0.99)))
    found.fault_ms += _others(failed)
    found.other_drops += sum(count for (name, _), count in failed.drops.items() if name.startswith("camera-"))
    time.sleep(SETTLE_S)


def _others(results: Results) -> list[float]:
    return [ms for name, each in results.latencies_ms.items() if name.startswith("camera-") for ms in each]


@contextmanager
def _served(folder: Path) -> Iterator[tuple[ServedStreams, list[Party]]]:
    """An app that reads all cameras and writes to all sinks, through relays."""
    if gstreamer.missing():
        raise SystemExit("GStreamer's RTSP server is not installed: `make servers` says what to do")
    with ExitStack() as stack:
        rtsp, web, broker = rtsp_camera(), web_camera(), Broker(folder / "broker")
        receiver = ReceiverProcess(free_port(), folder / "received")
        receiver.start()
        for server in (rtsp, web, broker, receiver):
            stack.callback(server.kill)
        relays = [stack.enter_context(closing(Relay(server.port))) for server in (rtsp, web, broker, receiver)]
        ports = [relay.port for relay in relays]
        cameras = {"rtsp": f"rtsp://127.0.0.1:{ports[0]}/main", "web": f"http://127.0.0.1:{ports[1]}/motion"}
        sinks = {"mqtt": f"mqtt://127.0.0.1:{ports[2]}/bench", "webhook": f"http://127.0.0.1:{ports[3]}/events"}
        served = ServedStreams(
            folder, sinks=[DesiredSink(name=name, type=name, url=url) for name, url in sinks.items()]
        )
        stack.callback(served.app.stop)
        live = [
            DesiredStream(name=name, source=url, delivery=Delivery.NEWEST, timeout_ms=TIMEOUT_S * 1000)
            for name, url in cameras.items()
        ]
        served.want([*(camera(index, fps=FPS) for index in range(OTHERS)), *live])
        progresses = [*map(_frames_of, cameras), *map(_written_to, sinks)]
        names = ("RTSP camera", "HTTP camera", "MQTT broker", "webhook")
        servers = (rtsp, web, broker, receiver)
        parties = [Party(*each) for each in zip(names, servers, relays, progresses, strict=True)]
        for party in parties:
            eventually(
                lambda party=party: party.progress(served.app.status()) > 0, f"{party.name} to work", timeout_s=60
            )
        time.sleep(SETTLE_S)
        yield served, parties


def _frames_of(stream: str) -> Callable[[ObservedState], int]:
    return lambda status: next(each.frames.ingested for each in status.streams if each.name == stream)


def _written_to(sink: str) -> Callable[[ObservedState], int]:
    return lambda status: next(each.written for each in status.sinks if each.name == sink)


def _accounted(served: ServedStreams) -> tuple[bool, int]:
    """Whether every count adds up, and how many events sinks have dropped; after they had time to write all."""

    def nothing_waits() -> bool:
        return all(sink.waiting < 2 * FPS * OTHERS for sink in served.app.status().sinks)

    eventually(nothing_waits, "the sinks to write what waited", timeout_s=120)
    status = served.app.status()
    frames = [status.frames, *(stream.frames for stream in status.streams)]
    balanced = all(each.ingested == each.delivered + sum(each.dropped.values()) + each.in_flight for each in frames)
    balanced &= all(sink.offered == sink.written + sum(sink.dropped.values()) + sink.waiting for sink in status.sinks)
    return balanced, sum(sum(sink.dropped.values()) for sink in status.sinks)


def _result(seconds: float, rounds: int, found: dict[tuple[str, str], Found], balanced: bool, lost: int) -> Result:
    every = Found(
        [ms for one in found.values() for ms in one.calm_ms],
        [ms for one in found.values() for ms in one.fault_ms],
    )
    calm = np.quantile([p99 for one in found.values() for p99 in one.calm_p99_ms], (0.1, 0.9))
    drops = sum(one.other_drops for one in found.values())
    return Result(
        title="Faults of cameras and receivers",
        method=(
            f"{OTHERS} looped videos at {FPS:.0f} frames a second, an RTSP camera, an HTTP camera (20 frames a second "
            f"each, `timeout: {TIMEOUT_S:g}s`), an MQTT broker and a webhook. One of the "
            f"servers fails for {seconds:g} s, {rounds} times in each way. The ratio is the p99 of the four videos "
            f"during the fault to that of the {seconds:g} s before it; back is the time from the end of the fault, or "
            "from when the server listens again, to the next frame, or the next event that is acknowledged. Short "
            "spans differ by themselves: of those without a fault a tenth has a p99 below "
            f"{calm[0]:.0f} ms, and a tenth one above {calm[1]:.0f} ms."
        ),
        rows=[
            ["server", "fault", "p99 before, ms", "p99 during, ms", "ratio", "back after, s", "drops of the others"],
            *(
                [
                    *key,
                    f"{np.quantile(one.calm_ms, 0.99):.0f}",
                    f"{np.quantile(one.fault_ms, 0.99):.0f}",
                    f"{one.ratio():.2f}",
                    " / ".join(f"{each:.1f}" for each in one.recovery_s),
                    str(one.other_drops),
                ]
                for key, one in found.items()
            ),
            [
                "all",
                "",
                *(f"{np.quantile(each, 0.99):.0f}" for each in (every.calm_ms, every.fault_ms)),
                f"{every.ratio():.2f}",
                "",
                str(drops),
            ],
        ],
        figures={
            "faults_p99_ratio": every.ratio(),
            "faults_worst_p99_ratio": max(one.ratio() for one in found.values()),
            "faults_slowest_recovery_s": max(max(one.recovery_s) for one in found.values()),
            "faults_other_drops": drops,
        },
        gates=[
            Gate("the other cameras' p99, all faults", every.ratio(), 1.1, at_least=False),
            Gate("accounts that balance (1: all)", float(balanced), 1, at_least=True),
            Gate("events that sinks lost", lost, 0, at_least=False),
            Gate(
                "goal: the other cameras' p99, the worst of all faults",
                max(one.ratio() for one in found.values()),
                1.1,
                at_least=False,
            ),
        ],
    )
