"""The gate: frames of newest streams wait their turn, and the end of one lets the next one in."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable

from framepilot_app.frames import Delivered, Dropped, DropReason
from framepilot_app.modules.gate import Gate, at_once
from framepilot_app.modules.journey import Journey
from support.eventually import eventually
from support.fake_engine import frame, graph, journey, module

GRAPH = graph(module())


class Entry:
    """Takes note of what the gate does with frames."""

    def __init__(self, soon: Callable[[Callable[[], None]], None] = at_once) -> None:
        self.now = 0.0
        self.gate = Gate(lambda: 0.0, soon, clock=lambda: self.now)
        self.started: list[Journey] = []
        self.over: set[Journey] = set()
        self.refused: list[tuple[str, DropReason]] = []

    def let_in(self, of: Journey) -> None:
        self.started.append(of)

    def refuse(self, of: Journey, reason: DropReason) -> None:
        self.refused.append((of.frame.id.stream, reason))

    def come(self, stream: str, room: int = 1, **fields) -> None:
        self.gate.wait(journey(frame(stream=stream, **fields), GRAPH), self, lambda: room)

    def end(self, index: int = -1) -> None:
        """One of those in flight ends, in the order in which they started."""
        of = self.in_flight()[index]
        self.over.add(of)
        self.gate.ended(of, Delivered(of.frame, (), 1.0))

    def in_flight(self) -> list[Journey]:
        return [of for of in self.started if of not in self.over]

    def streams(self) -> list[str]:
        return [of.frame.id.stream for of in self.started]


def test_the_end_of_a_frame_lets_in_the_stream_that_was_given_least():
    entry = Entry()
    entry.come("a")
    for stream in ("a", "b", "c"):
        entry.come(stream)
    for _ in range(3):
        entry.end()
    assert entry.streams() == ["a", "b", "c", "a"]
    assert entry.refused == []


def test_a_newer_frame_takes_the_place_of_the_one_that_waits_and_its_turn():
    entry = Entry()
    entry.come("a")
    entry.come("b", sequence=1)
    entry.come("c")
    entry.come("b", sequence=2)
    entry.end()
    entry.end()
    assert entry.refused == [("b", DropReason.SUPERSEDED)]
    assert entry.streams() == ["a", "b", "c"]
    assert entry.started[1].frame.id.sequence == 2


def test_a_frame_that_waited_too_long_is_refused_at_the_next_look():
    entry = Entry()
    entry.come("a", room=2, deadline=100.0)
    entry.come("a", room=2, deadline=100.0)
    entry.come("b", room=2, deadline=1.0)
    entry.now = 2.0
    entry.end()
    assert entry.refused == [("b", DropReason.OVERLOAD)]


def in_step(entry: Entry, steps: int, late: tuple[str, ...] = ("b", "c")) -> Counter[str]:
    """What three cameras in step get, whose batches of four end just before the first of them has its next frame."""
    before = len(entry.started)
    for _ in range(steps):
        for stream in ("a", *late):
            entry.come(stream, room=8, deadline=entry.now + 10)
            entry.now += 0.001
        entry.now += 0.017
        for stream in ("a", *late):
            entry.come(stream, room=8, deadline=entry.now + 10)
            entry.now += 0.001
        entry.now += 0.016
        for _ in range(min(4, len(entry.in_flight()))):
            entry.end(0)
    return Counter(entry.streams()[before:])


def test_cameras_in_step_get_equal_shares_whichever_of_them_comes_first():
    entry = Entry()
    got = in_step(entry, 100)
    assert sum(got.values()) >= 396
    assert max(got.values()) - min(got.values()) <= 2


def test_nobody_waits_for_a_camera_that_gives_frames_no_more():
    entry = Entry()
    in_step(entry, 20)
    got = in_step(entry, 100, late=("b",))
    assert sum(got.values()) >= 390


def test_a_higher_priority_does_not_wait_for_the_room_that_lower_ones_take():
    entry = Entry()
    entry.come("low", priority=10)
    entry.come("low", priority=10)
    entry.come("high", priority=90)
    assert entry.streams() == ["low", "high"]


def test_lossless_work_counts_for_what_a_newest_frame_has_to_expect():
    entry = Entry()
    entry.come("a", room=9)
    lossless = journey(frame(stream="file"), GRAPH)
    entry.gate.started(lossless)
    entry.come("b", room=9, deadline=0.0025)
    assert entry.streams() == ["a"]
    entry.gate.ended(lossless, Delivered(lossless.frame, (), 1.0))
    assert entry.streams() == ["a", "b"]


def fits_behind_thirty(entry: Entry) -> bool:
    """Whether a frame that has 55 ms is let in behind 30 of 1 ms each: with the first margin, not with much more."""
    for number in range(30):
        entry.come(f"a{number}", room=60, deadline=entry.now + 1e6)
    entry.come("b", room=60, deadline=entry.now + 0.055)
    return entry.streams()[-1] == "b"


def test_a_frame_that_ends_late_makes_the_gate_more_careful():
    assert fits_behind_thirty(Entry())
    entry = Entry()
    entry.come("a", deadline=0.2)
    entry.now = 0.1
    of = entry.started[-1]
    entry.gate.ended(of, Dropped(of.frame, DropReason.LATE))
    assert not fits_behind_thirty(entry)


def test_of_frames_that_had_no_chance_from_the_start_nothing_is_learned():
    entry = Entry()
    entry.come("a", deadline=entry.now)
    of = entry.started[-1]
    entry.gate.ended(of, Dropped(of.frame, DropReason.LATE))
    assert fits_behind_thirty(entry)


def test_who_finds_somebody_at_work_at_the_gate_does_not_wait_for_it():
    entry, at_work, go_on = Entry(), threading.Event(), threading.Event()

    def room() -> int:
        at_work.set()
        assert go_on.wait(10)
        return 1

    first = journey(frame(stream="a"), GRAPH)
    other = threading.Thread(target=entry.gate.wait, args=(first, entry, room))
    other.start()
    assert at_work.wait(10)
    entry.come("b", service="s/other")
    assert entry.streams() == [], "what was left in the box is for the one who is at work"
    go_on.set()
    other.join()
    assert entry.streams() == ["a", "b"]


def test_frames_that_come_at_the_same_moment_are_looked_at_once_and_so_are_their_ends():
    looks: list[Callable[[], None]] = []
    entry = Entry(looks.append)
    for number in range(100):
        entry.come("a", service=f"s/{number}")
    assert (len(looks), entry.started) == (1, [])
    looks.pop()()
    assert len(entry.started) == 100
    for number in range(100):
        entry.come("a", service=f"s/{number}")
    assert looks == [], "none of them may start before another one of its service has ended"
    for _ in range(100):
        entry.end(0)
    assert len(looks) == 1
    looks.pop()()
    assert len(entry.started) == 200


def test_a_frame_that_nobody_has_looked_at_yet_is_superseded_at_once():
    looks: list[Callable[[], None]] = []
    entry = Entry(looks.append)
    for sequence in range(50):
        entry.come("a", sequence=sequence)
    assert entry.refused == [("a", DropReason.SUPERSEDED)] * 49, "or pictures would pile up while workers are busy"
    looks.pop()()
    assert [of.frame.id.sequence for of in entry.started] == [49]


class Crowd:
    """Takes what many threads bring to the gate, and has two threads end it."""

    def __init__(self) -> None:
        self.running: queue.SimpleQueue[Journey | None] = queue.SimpleQueue()
        self.gate = Gate(lambda: 0.0)
        self.fates: Counter[Journey] = Counter()
        self._lock = threading.Lock()
        self._enders = [threading.Thread(target=self._end) for _ in range(2)]
        for each in self._enders:
            each.start()

    def let_in(self, of: Journey) -> None:
        self._met(of)
        self.running.put(of)

    def refuse(self, of: Journey, reason: DropReason) -> None:
        self._met(of)

    def close(self) -> None:
        for _ in self._enders:
            self.running.put(None)
        for each in self._enders:
            each.join()

    def _met(self, of: Journey) -> None:
        with self._lock:
            self.fates[of] += 1

    def _end(self) -> None:
        while (of := self.running.get()) is not None:
            self.gate.ended(of, Delivered(of.frame, (), 1.0))


def test_from_many_threads_every_frame_is_let_in_or_refused_once():
    crowd = Crowd()
    brought = [
        [
            journey(frame(stream=f"{stream}", service=f"s/{number % 2}", sequence=number, deadline=1e9), GRAPH)
            for number in range(300)
        ]
        for stream in range(4)
    ]

    def bring(journeys: list[Journey]) -> None:
        for each in journeys:
            crowd.gate.wait(each, crowd, lambda: 3)

    threads = [threading.Thread(target=bring, args=(each,)) for each in brought]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    eventually(lambda: crowd.fates.total() == 1200, "every frame to be let in or refused")
    crowd.close()
    assert crowd.fates == dict.fromkeys((of for each in brought for of in each), 1)
