"""The log of a child: bounded while it runs, and the lines before are kept beside it."""

from __future__ import annotations

import os
import sys

import pytest

from framepilot_operator.cluster.child_log import ChildLog
from framepilot_operator.cluster.process import ChildProcess, ChildSpec
from support.eventually import eventually_async


def test_a_log_that_has_grown_too_large_is_put_aside_and_its_writer_goes_on_at_the_start(tmp_path):
    log = ChildLog(tmp_path / "log", most_bytes=100)
    with log.begin() as writer:
        os.write(writer.fileno(), b"a" * 100)
        log.rotate()
        assert log.path.stat().st_size == 100
        os.write(writer.fileno(), b"b")
        log.rotate()
        os.write(writer.fileno(), b"new")
    assert log.path.read_bytes() == b"new"
    assert (tmp_path / "log.1").read_bytes() == b"a" * 100 + b"b"


def test_a_new_life_begins_with_an_empty_log_and_keeps_that_of_the_last_one(tmp_path):
    log = ChildLog(tmp_path / "log")
    log.rotate()
    for life in (b"first", b"second"):
        with log.begin() as writer:
            writer.write(life)
    assert log.path.read_bytes() == b"second"
    assert (tmp_path / "log.1").read_bytes() == b"first"


@pytest.mark.parametrize("most_bytes", [20_000])
async def test_the_log_of_a_child_that_never_stops_talking_stays_small_while_it_runs(tmp_path, most_bytes):
    code = "import sys\nfor _ in range(10**9):\n sys.stderr.write('a line of a chatty child\\n')\n sys.stderr.flush()"
    spec = ChildSpec(
        command=(sys.executable, "-c", code),
        environment={},
        log=ChildLog(tmp_path / "log", most_bytes),
        lock=tmp_path / "lock",
        listen=tmp_path / "listen",
    )
    child = ChildProcess(spec, lambda: None, lambda: 0.5)
    child.start()
    try:
        emptied: list[int] = []

        def shrank() -> bool:
            size = spec.log.path.stat().st_size if spec.log.path.exists() else 0
            smaller = bool(emptied) and size < emptied[-1]
            emptied.append(size)
            return smaller

        await eventually_async(shrank, "the log to be emptied")
        assert child.running
        assert (tmp_path / "log.1").stat().st_size > most_bytes
    finally:
        await child.stop()
