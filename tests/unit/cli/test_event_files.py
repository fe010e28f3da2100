from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from framepilot_operator.event_files import EventFiles
from framepilot_operator.frame_count import count_frames, interpreter_of


def test_lines_are_read_once_each_and_only_whole(tmp_path):
    files = EventFiles(tmp_path / "events")
    (sink,) = files.sinks("cameras/lobby")
    assert sink.path is not None
    read: list[bytes] = []
    with sink.path.open("ab", buffering=0) as out:
        out.write(b"one\ntw")
        files.read(read.extend)
        assert read == [b"one"]
        out.write(b"o\nthree\n")
        files.read(read.extend)
    files.read(read.extend)
    assert read == [b"one", b"two", b"three"]


def test_each_instance_has_its_own_file_with_the_drops_in_it(tmp_path):
    files = EventFiles(tmp_path)
    (one,), (other,) = files.sinks("cameras/lobby"), files.sinks("cameras/hall")
    assert (one.name, one.type, one.drops) == ("framepilot-report", "file", True)
    assert one.path != other.path


def test_what_an_earlier_run_left_is_not_read(tmp_path):
    (tmp_path / "cameras.lobby.jsonl").write_text("old\n")
    read: list[bytes] = []
    EventFiles(tmp_path).read(read.extend)
    assert read == []


@pytest.mark.parametrize(
    ("first", "command"),
    [
        ("#!/opt/app/bin/python\n", ("/opt/app/bin/python",)),
        ("#!/usr/bin/env python3\n", ("/usr/bin/env", "python3")),
        ("\x7fELF", (sys.executable,)),
    ],
)
def test_the_interpreter_is_that_of_the_app(tmp_path, first, command):
    (tmp_path / "app").write_text(first)
    assert interpreter_of(tmp_path / "app") == command


def test_a_file_that_cannot_be_counted_is_left_out(tmp_path, caplog):
    counts = asyncio.run(count_frames({f"file://{tmp_path}/none.mp4"}, Path("none")))
    assert counts == {}
    assert "none.mp4 could not be counted" in caplog.text
