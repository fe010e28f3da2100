"""What a fault of one camera, or of one receiver of results, costs the other cameras, and how soon it is over.

Servers are real ones in processes of their own: GStreamer's for RTSP, mosquitto, HTTP servers. Each is killed, stopped,
started anew, made slow, and made to send garbage, while cameras that have nothing to do with it go on. Between the
faults are spans in which nothing fails; they are what the others are held against, and how they differ among each other
says what a difference means.
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
FPS = 12.5
TIMEOUT_S = 2.0
"""After which a camera that is silent counts as stalled."""
LOOK_S = 0.02
PARTIES = ("RTSP camera", "HTTP camera", "MQTT broker", "webhook")


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


NOTHING = Fault("nothing fails", lambda _: None, lambda _: None)
FAULTS = (
    NOTHING,
    Fault("killed", lambda party: party.server.kill(), lambda party: party.server.start()),
    Fault("stopped (SIGSTOP)", lambda party: party.server.freeze(), lambda party: party.server.thaw()),
    Fault("slow", _passage(Passage.SLOW), _passage(Passage.WHOLE)),
    Fault("garbage", _passage(Passage.GARBAGE), _passage(Passage.WHOLE)),
)


@dataclass
class Found:
    """Of one fault of one party, over all its rounds: how the other cameras fared, and how it went on."""

    latencies_ms: list[float] = field(default_factory=list)
    drops: int = 0
    recovery_s: list[float] = field(default_factory=list)

    @property
    def p99_ms(self) -> float:
        return float(np.quantile(self.latencies_ms, 0.99))


def run(seconds: float, rounds: int = 4) -> Result:
    """`seconds` of each fault of each party, `rounds` times."""
    found: dict[tuple[str, str], Found] = {}
    with TemporaryDirectory(prefix="framepilot-bench-") as folder, _served(Path(folder)) as (served, parties):
        # One party after the other, so that each has run steadily before it fails again.
        for fault in FAULTS * rounds:
            for party in parties:
                one = found.setdefault((party.name, fault.name), Found())
                _once(served, party, fault, seconds, one)
                print(f"faults: {party.name} {fault.name}: p99 {one.p99_ms:.0f} ms, back {one.recovery_s[-1]:.1f} s")
        balanced, lost = _accounted(served)
    return _result(seconds, rounds, found, balanced, lost)


def _once(served: ServedStreams, party: Party, fault: Fault, seconds: float, found: Found) -> None:
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
    found.latencies_ms += _others(failed)
    found.drops += sum(count for (name, _), count in failed.drops.items() if name.startswith("camera-"))
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
        servers = (rtsp, web, broker, receiver)
        parties = [Party(*each) for each in zip(PARTIES, servers, relays, progresses, strict=True)]
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
    calm = [one for (_, fault), one in found.items() if fault == NOTHING.name]
    failed = [one for (_, fault), one in found.items() if fault != NOTHING.name]
    usual, during = (Found([ms for one in some for ms in one.latencies_ms]).p99_ms for some in (calm, failed))
    ratios = [one.p99_ms / usual for one in failed]
    control = [one.p99_ms / usual for one in calm]
    drops = sum(one.drops for one in failed)
    return Result(
        title="Faults of cameras and receivers",
        method=(
            f"{OTHERS} looped videos at {FPS:g} frames a second, an RTSP camera, an HTTP camera (20 frames a second "
            f"each, `timeout: {TIMEOUT_S:g}s`), an MQTT broker and a webhook. One of the servers fails for {seconds:g} "
            f"s, {rounds} times in each way, and as often nothing fails. The ratio is the p99 of the four videos in "
            f"that time to their p99 in all spans in which nothing failed ({usual:.0f} ms). Back is the time from the "
            "end of the fault, or from when the server listens again, to the next frame, or the next event that is "
            "acknowledged."
        ),
        rows=[
            ["server", "fault", "p99 of the others, ms", "ratio", "back after, s", "drops of the others"],
            *(
                [
                    *key,
                    f"{one.p99_ms:.0f}",
                    f"{one.p99_ms / usual:.2f}",
                    " / ".join(f"{each:.1f}" for each in one.recovery_s),
                    str(one.drops),
                ]
                for key, one in sorted(found.items(), key=lambda item: PARTIES.index(item[0][0]))
            ),
            ["all", "each fault", f"{during:.0f}", f"{during / usual:.2f}", "", str(drops)],
        ],
        figures={
            "faults_p99_ratio": during / usual,
            "faults_worst_p99_ratio": max(ratios),
            "faults_control_p99_ratio": max(control),
            "faults_slowest_recovery_s": max(max(one.recovery_s) for one in found.values()),
            "faults_other_drops": drops,
            "faults_control_drops": sum(one.drops for one in calm),
        },
        gates=[
            Gate("the other cameras' p99, all faults", during / usual, 1.1, at_least=False),
            Gate("accounts that balance (1: all)", float(balanced), 1, at_least=True),
            Gate("events that sinks lost", lost, 0, at_least=False),
            Gate("goal: the other cameras' p99, the worst of all faults", max(ratios), 1.1, at_least=False),
            Gate("goal: frames of the other cameras lost during faults", drops, 0, at_least=False),
        ],
    )
