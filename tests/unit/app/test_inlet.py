"""The inlet: newest supersedes, lossless waits, and closing loses nothing."""

from __future__ import annotations

import threading

import numpy as np

from framepilot.contract.desired import Delivery, DesiredStream
from framepilot_app.frames import Delivered, Dropped, DropReason
from framepilot_app.modules.gate import Gate
from framepilot_app.modules.inlet import Inlet
from framepilot_app.modules.line import Line
from support.eventually import eventually
from support.fake_engine import graph, module

GRAPH = graph(module())
IMAGE = np.zeros((8, 8, 3), np.uint8)


class World:
    """An inlet with a window of two, and what came of it."""

    def __init__(self, delivery: Delivery) -> None:
        self.emitted = []
        self.started = []
        self.window = 2
        self.line = Line(self.emitted.append)
        self.inlet = Inlet(
            service="s/s",
            declared=DesiredStream(name="door", source="test://8x8", delivery=delivery),
            objective_s=0.2,
            line=self.line,
            graph=lambda: GRAPH,
            start=self.started.append,
            window=lambda: self.window,
            gate=Gate(lambda: 0.0, clock=lambda: 10.0),
        )

    def offer(self, sequence: int) -> None:
        self.inlet.offer(IMAGE, 1, sequence, 10.0, 0.0, 0.0)

    def finish(self, index: int) -> None:
        journey = self.started[index]
        journey.on_end(journey, Delivered(journey.frame, (), 1.0))

    def sequences(self, kind: type) -> list[int]:
        return [outcome.frame.id.sequence for outcome in self.emitted if isinstance(outcome, kind)]


def test_newest_keeps_one_waiting_frame_and_supersedes_it():
    world = World(Delivery.NEWEST)
    for sequence in range(5):
        world.offer(sequence)
    assert [j.frame.id.sequence for j in world.started] == [0, 1]
    world.finish(0)
    assert [j.frame.id.sequence for j in world.started] == [0, 1, 4]
    world.finish(1)
    world.finish(2)
    assert world.sequences(Delivered) == [0, 1, 4]
    assert world.sequences(Dropped) == [2, 3]
    assert all(o.reason is DropReason.SUPERSEDED for o in world.emitted if isinstance(o, Dropped))
    counts = world.line.counts()
    assert (counts.ingested, counts.delivered, counts.dropped) == (5, 3, {"superseded": 2})


def test_newest_frames_have_an_enforced_deadline_and_lossless_ones_a_reported_one():
    for delivery, enforced in ((Delivery.NEWEST, True), (Delivery.LOSSLESS, False)):
        world = World(delivery)
        world.offer(0)
        frame = world.started[0].frame
        assert (frame.deadline, frame.enforced) == (10.2, enforced)


def test_lossless_makes_the_source_wait_and_drops_nothing():
    world = World(Delivery.LOSSLESS)
    source = threading.Thread(target=lambda: [world.offer(sequence) for sequence in range(6)])
    source.start()
    for index in range(6):
        eventually(lambda started=index + 1: len(world.started) >= started)
        assert len(world.started) - len(world.emitted) <= 2
        world.finish(index)
    source.join(10)
    assert world.sequences(Delivered) == [0, 1, 2, 3, 4, 5]


def test_a_source_that_waits_though_nothing_is_in_flight_goes_on_when_it_is_told_to_look_again():
    world = World(Delivery.LOSSLESS)
    world.window = 0
    source = threading.Thread(target=world.offer, args=(0,))
    source.start()
    eventually(lambda: world.line.counts().ingested == 1)
    assert not world.started
    world.window = 2
    world.inlet.look_again()
    source.join(10)
    assert len(world.started) == 1


def test_closing_lets_the_waiting_frame_in():
    world = World(Delivery.LOSSLESS)
    world.offer(0)
    world.offer(1)
    source = threading.Thread(target=world.offer, args=(2,))
    source.start()
    eventually(lambda: world.line.counts().ingested == 3)
    world.inlet.close()
    source.join(10)
    assert not source.is_alive()
    for index in range(3):
        world.finish(index)
    assert world.line.counts().delivered == 3
    assert world.line.empty


def test_a_superseded_frame_gives_its_picture_back_at_once():
    world = World(Delivery.NEWEST)
    for sequence in range(4):
        world.offer(sequence)
    world.finish(0)
    world.finish(1)
    superseded = next(outcome.frame for outcome in world.emitted if isinstance(outcome, Dropped))
    assert superseded.image.shape == IMAGE.shape
    assert superseded.image.strides == (0, 0, 0)


def test_no_frame_has_the_id_of_another_when_the_clock_on_the_wall_goes_back():
    world = World(Delivery.NEWEST)
    # The reader runs for longer than this inlet, whose clock was ahead when it came in.
    for epoch, sequence in [(1, 7), (2, 0), (3, 0)]:
        world.inlet.offer(IMAGE, epoch, sequence, 10.0, 0.0, 0.0)
    for index in range(3):
        world.finish(index)
    ids = [outcome.frame.id for outcome in world.emitted]
    assert [each.sequence for each in ids] == [0, 0, 0]
    assert ids[0].epoch < ids[1].epoch < ids[2].epoch
