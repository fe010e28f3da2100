"""The inlet: newest supersedes, lossless waits, a still scene is left alone, and closing loses nothing."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from framepilot.contract.desired import Delivery, DesiredMotion, DesiredStream
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
        self.inlet.offer(IMAGE, 1, sequence, 10.0, 0.0)

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
        world.inlet.offer(IMAGE, epoch, sequence, 10.0, 0.0)
    for index in range(3):
        world.finish(index)
    ids = [outcome.frame.id for outcome in world.emitted]
    assert [each.sequence for each in ids] == [0, 0, 0]
    assert ids[0].epoch < ids[1].epoch < ids[2].epoch


class Scene:
    """What a camera sees: still, until `moves`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sequence = 0
        self.image = np.full((48, 64, 3), 90, np.uint8)

    def frame(self, at: float = 10.0) -> None:
        self.world.inlet.offer(self.image, 1, self.sequence, at, 0.0)
        self.sequence += 1

    def moves(self, at: float = 10.0) -> None:
        self.image = self.image.copy()
        self.image[:12] = 90 if self.image[0, 0, 0] == 200 else 200
        self.frame(at)

    @property
    def run(self) -> list[int]:
        return [journey.frame.id.sequence for journey in self.world.started]


@pytest.fixture(params=Delivery)
def scene(request) -> Scene:
    world = World(request.param)
    world.window = 100
    world.inlet.motion = DesiredMotion(change=0.01, at_least_every_ms=2000)
    return Scene(world)


def test_a_frame_is_run_when_something_has_changed_or_it_is_time(scene):
    for at in (10.0, 10.5, 11.9, 12.0, 12.5):
        scene.frame(at)
    scene.moves(12.6)
    scene.frame(14.5)
    scene.frame(14.6)
    assert scene.run == [0, 3, 5, 7]


def test_a_still_frame_is_accounted_for_and_gives_its_picture_back_at_once(scene):
    for _ in range(3):
        scene.frame()
    counts = scene.world.line.counts()
    assert (counts.ingested, counts.still, counts.dropped, counts.in_flight) == (3, 2, {}, 3)
    scene.world.finish(0)
    counts = scene.world.line.counts()
    assert (counts.delivered, counts.still, counts.dropped, counts.in_flight) == (1, 2, {"still": 2}, 0)
    still = [outcome for outcome in scene.world.emitted if isinstance(outcome, Dropped)]
    assert [each.reason for each in still] == [DropReason.STILL] * 2
    assert all(each.frame.image.strides == (0, 0, 0) for each in still)


@pytest.mark.parametrize("reason", [DropReason.LATE, DropReason.ERROR])
def test_when_the_one_that_was_run_is_dropped_the_next_one_is_run_in_its_stead(scene, reason):
    scene.frame()
    scene.frame()
    started = scene.world.started[0]
    started.on_end(started, Dropped(started.frame, reason))
    scene.frame()
    scene.frame()
    assert scene.run == [0, 2]


def test_that_an_older_one_is_dropped_asks_for_no_other(scene):
    scene.frame()
    scene.moves()
    older = scene.world.started[0]
    older.on_end(older, Dropped(older.frame, DropReason.LATE))
    scene.frame()
    assert scene.run == [0, 1]


def test_what_is_declared_of_motion_is_in_force_from_the_next_frame(scene):
    scene.frame()
    scene.frame()
    scene.world.inlet.motion = None
    scene.frame()
    scene.world.inlet.motion = DesiredMotion(change=0.9, at_least_every_ms=2000)
    scene.frame()
    scene.moves()
    assert scene.run == [0, 2, 3]
    scene.world.inlet.motion = DesiredMotion(change=0.1, at_least_every_ms=2000)
    scene.frame()
    assert scene.run == [0, 2, 3, 5]


def test_the_frame_that_takes_the_place_of_one_that_waits_is_the_one_to_compare_with():
    scene = Scene(World(Delivery.NEWEST))
    scene.world.window = 1
    scene.world.inlet.motion = DesiredMotion(change=0.01, at_least_every_ms=2000)
    scene.frame()
    scene.moves()
    scene.moves()
    scene.frame()
    scene.world.finish(0)
    scene.world.finish(1)
    assert scene.run == [0, 2]
    assert scene.world.line.counts().dropped == {"superseded": 1, "still": 1}


def test_a_still_frame_of_a_source_that_waits_waits_for_room_too():
    scene = Scene(World(Delivery.LOSSLESS))
    scene.world.window = 1
    scene.world.inlet.motion = DesiredMotion(change=0.01, at_least_every_ms=2000)
    scene.frame()
    source = threading.Thread(target=lambda: [scene.frame() for _ in range(5)])
    source.start()
    eventually(lambda: scene.world.line.counts().still == 1)
    assert scene.world.line.counts().ingested == 2
    scene.world.finish(0)
    source.join(10)
    assert scene.run == [0]
    assert scene.world.line.counts().dropped == {"still": 5}
