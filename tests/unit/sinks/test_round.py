"""One thread for several writers: each has its turn when it calls or is due, and the thread ends with the last one."""

from __future__ import annotations

import threading
import time
from math import inf

import pytest

from framepilot.contract.desired import DesiredSink
from framepilot_app.sinks.round import Round
from framepilot_app.sinks.rounds import Rounds
from support.eventually import eventually


class Turn:
    """Takes note of its turns. `again` says when the next one is; None: it is over."""

    def __init__(self, again=lambda: inf):
        self.again = again
        self.steps = []
        self.going = threading.Event()
        self.going.set()

    def step(self):
        self.steps.append(threading.get_ident())
        self.going.wait()
        return self.again()


def test_whoever_calls_has_a_turn_and_all_have_the_same_thread():
    going_round, turns = Round("test"), [Turn(), Turn()]
    for turn in turns:
        going_round.begin(turn)
    eventually(lambda: all(len(turn.steps) == 1 for turn in turns), "the first turns")
    going_round.call(turns[1])
    eventually(lambda: len(turns[1].steps) == 2, "the one that called")
    assert len(turns[0].steps) == 1
    assert len({*turns[0].steps, *turns[1].steps}) == 1
    end(going_round, turns)


def test_calls_while_it_is_busy_are_kept_and_become_one_turn():
    going_round, turn = Round("test"), Turn()
    turn.going.clear()
    going_round.begin(turn)
    eventually(lambda: len(turn.steps) == 1, "the first turn")
    for _ in range(100):
        going_round.call(turn)
    turn.going.set()
    eventually(lambda: len(turn.steps) == 2, "the one for all calls")
    end(going_round, [turn])
    eventually(lambda: len(turn.steps) == 3, "the last one")


def test_a_turn_that_is_due_comes_without_a_call():
    going_round = Round("test")
    turn = Turn(lambda: time.monotonic() + 0.01 if len(turn.steps) < 5 else None)
    going_round.begin(turn)
    eventually(lambda: len(turn.steps) == 5, "all turns")


def test_the_thread_ends_with_the_last_turn_and_a_new_one_begins():
    going_round, turns = Round("round-of-this-test"), [Turn(lambda: None), Turn(lambda: None)]

    def threads():
        return [thread for thread in threading.enumerate() if thread.name == "round-of-this-test"]

    going_round.begin(turns[0])
    eventually(lambda: not threads(), "its end")
    going_round.call(turns[0])
    going_round.begin(turns[1])
    eventually(lambda: not threads(), "its end")
    assert [len(turn.steps) for turn in turns] == [1, 1]


def end(going_round, turns):
    for turn in turns:
        turn.again = lambda: None
        going_round.call(turn)


MOUNTS = r"""
22 1 0:21 / / rw,relatime shared:1 - overlay overlay rw
30 22 8:1 / /var/log rw,relatime - ext4 /dev/sda1 rw
31 22 0:50 / /mnt/the\040share rw - nfs4 nas:/events rw
""".strip()


@pytest.fixture
def rounds(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    return Rounds(table)


def file(path):
    return DesiredSink(name="events", type="file", path=path)


def test_files_of_one_disk_are_written_by_one_thread_and_those_of_another_by_another(rounds):
    root = rounds.of(file("/srv/a/events.jsonl"))
    assert rounds.of(file("/srv/b/events.jsonl")) is root
    logs = rounds.of(file("/var/log/a.jsonl"))
    assert logs is not root
    assert rounds.of(file("/var/log/deep/b.jsonl")) is logs
    assert rounds.of(file("/var/logs/c.jsonl")) is root
    assert rounds.of(file("/var/log/../d.jsonl")) is root
    share = rounds.of(file("/mnt/the share/e.jsonl"))
    assert share not in {root, logs}


def test_standard_output_has_one_thread_and_every_receiver_its_own(rounds):
    output = DesiredSink(name="out", type="stdout")
    assert rounds.of(output) is rounds.of(output)
    receiver = DesiredSink(name="hook", type="webhook", url="http://127.0.0.1:1/events")
    assert rounds.of(receiver) is not rounds.of(receiver)


def test_where_there_is_no_table_of_mounts_all_files_have_one_thread(tmp_path):
    rounds = Rounds(tmp_path / "missing")
    assert rounds.of(file("/var/log/a.jsonl")) is rounds.of(file("/srv/b.jsonl"))
