"""The sinks of a service: who gets what, and that one of them never costs another anything."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from framepilot.contract.desired import DesiredSink, SpoolSpace
from framepilot.contract.events import FrameId
from framepilot.contract.observed import SinkState
from framepilot_app.credentials import Credentials
from framepilot_app.frames import Delivered, Dropped, DropReason, Frame
from framepilot_app.sinks import outbox
from framepilot_app.sinks.fanout import Fanout
from framepilot_app.sinks.rounds import Rounds
from support.eventually import eventually

PICTURE = np.zeros((2, 2, 3), np.uint8)


def delivered(sequence):
    return Delivered(
        Frame(FrameId("ns/svc", "door", 1, sequence), PICTURE, 0, 0, 1, enforced=False, priority=50), (), 1.0
    )


def file(path: Path, **parts) -> DesiredSink:
    return DesiredSink(name=path.stem, type="file", path=path, **parts)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def fanout(tmp_path):
    room = threading.Event()
    sinks = Fanout("ns/svc", tmp_path / "spools", room.set, lambda *_: None, Rounds())
    sinks.room = room
    yield sinks
    asyncio.run(sinks.close())


def test_delivered_frames_go_to_every_sink_and_dropped_ones_where_they_are_wanted(fanout, tmp_path):
    plain, full = tmp_path / "plain.jsonl", tmp_path / "full.jsonl"
    fanout.follow((file(plain), file(full, drops=True)), Credentials())
    outcome = delivered(0)
    fanout.emit(outcome)
    fanout.emit(Dropped(outcome.frame, DropReason.LATE))
    eventually(lambda: (len(lines(plain)), len(lines(full))) == (1, 2))


def test_sinks_come_and_go_and_those_that_go_write_what_they_had(fanout, tmp_path):
    first, second, third = (tmp_path / f"{name}.jsonl" for name in ("first", "second", "third"))
    fanout.follow((file(first), file(second)), Credentials())
    for sequence in range(100):
        fanout.emit(delivered(sequence))
    fanout.follow((file(second), file(third)), Credentials())
    for sequence in range(100, 150):
        fanout.emit(delivered(sequence))
    eventually(lambda: [len(lines(path)) for path in (first, second, third)] == [100, 150, 50])
    assert [sink.name for sink in fanout.observed()] == ["second", "third"]


def test_a_sink_is_opened_anew_when_its_credentials_are_others(fanout, tmp_path):
    sink = file(tmp_path / "events.jsonl")
    fanout.follow((sink,), Credentials(tmp_path / "first"))
    fanout.emit(delivered(0))
    fanout.follow((sink,), Credentials(tmp_path / "second"))
    fanout.emit(delivered(1))
    assert fanout.observed()[0].offered == 1
    eventually(lambda: len(lines(tmp_path / "events.jsonl")) == 2)


def test_a_source_that_waits_while_it_is_congested_loses_nothing_at_a_slow_sink(fanout, tmp_path, monkeypatch):
    # However slow this machine is, the sink is not taken for dead.
    monkeypatch.setattr(outbox, "PATIENCE_S", 600)
    # A pipe that is not read yet: a write to it waits.
    path = tmp_path / "pipe"
    os.mkfifo(path)
    fanout.follow((file(path),), Credentials())
    waited = []
    arrived = bytearray()

    def source():
        for sequence in range(20_000):
            while fanout.congested():
                waited.append(sequence)
                fanout.room.wait(1)
                fanout.room.clear()
            fanout.emit(delivered(sequence))

    feeding = threading.Thread(target=source)
    feeding.start()
    eventually(lambda: waited, "the source to wait")
    descriptor = os.open(path, os.O_RDONLY)
    while arrived.count(b"\n") < 20_000:
        arrived += os.read(descriptor, 1 << 14)
    feeding.join()
    (sink,) = fanout.observed()
    eventually(lambda: fanout.observed()[0].written == 20_000)
    assert (sink.dropped, arrived.count(b"\n")) == ({}, 20_000)
    os.close(descriptor)


def test_a_dead_sink_costs_the_other_nothing_and_is_said(fanout, tmp_path):
    (tmp_path / "file").touch()
    good, dead = tmp_path / "good.jsonl", tmp_path / "file" / "dead.jsonl"
    fanout.follow((file(good), file(dead)), Credentials())
    for sequence in range(10_000):
        fanout.emit(delivered(sequence))
        if sequence % 1000 == 0:
            eventually(lambda count=sequence: fanout.observed()[0].written > count)
    eventually(lambda: fanout.observed()[1].state is SinkState.FAILED)
    assert fanout.error.startswith("sink 'dead': file '")
    well, ill = fanout.observed()
    eventually(lambda: len(lines(good)) == 10_000)
    assert (well.dropped, well.state, well.reason) == ({}, SinkState.CONNECTED, None)
    assert ill.offered == 10_000 == ill.waiting + sum(ill.dropped.values())


def test_what_a_dead_sink_could_not_take_is_written_by_the_next_process(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "dead.jsonl"
    sink = file(path, spool=SpoolSpace(size_bytes=1 << 24))
    spools = tmp_path / "spools"
    before = Fanout("ns/svc", spools, lambda: None, lambda *_: None, Rounds())
    before.follow((sink,), Credentials())
    for sequence in range(50):
        before.emit(delivered(sequence))
    asyncio.run(before.close())
    (tmp_path / "file").unlink()
    after = Fanout("ns/svc", spools, lambda: None, lambda *_: None, Rounds())
    after.follow((sink,), Credentials())
    eventually(lambda: len(lines(path)) == 50)
    asyncio.run(after.close())
    assert [json.loads(line)["data"]["sequence"] for line in lines(path)] == [*range(50)]
