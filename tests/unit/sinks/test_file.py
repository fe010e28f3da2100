from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from framepilot.contract.desired import DesiredSink, Rotation
from framepilot_app.credentials import Credentials
from framepilot_app.sinks.file import FileSink
from framepilot_app.sinks.open import open_sink
from framepilot_app.sinks.sink import SinkError
from framepilot_app.sinks.stdout import StdoutSink


def test_lines_are_appended_and_there_at_once(tmp_path):
    path = tmp_path / "deep" / "folder" / "events.jsonl"
    sink = FileSink(path)
    sink.write([b'{"a":1}'])
    assert path.read_bytes() == b'{"a":1}\n'
    sink.close()
    sink.close()
    again = FileSink(path)
    again.write([b'{"b":2}'])
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n'
    again.close()


@pytest.mark.parametrize("end", [Path.unlink, lambda path: path.rename(path.with_name("moved"))])
def test_a_file_that_somebody_removed_or_moved_is_begun_anew(tmp_path, end):
    path = tmp_path / "events.jsonl"
    sink = FileSink(path)
    sink.write([b"old"])
    end(path)
    sink.write([b"new"])
    assert path.read_bytes() == b"new\n"
    path.unlink()
    tmp_path.joinpath("moved").unlink(missing_ok=True)
    tmp_path.rmdir()
    sink.check()
    assert path.read_bytes() == b""
    sink.close()


def test_a_pipe_that_nobody_reads_is_an_error_and_holds_nobody_up(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(SinkError, match="No such device"):
        FileSink(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = FileSink(path)
    sink.write([b"read"])
    assert os.read(reader, 99) == b"read\n"
    sink.close()
    os.close(reader)


def test_a_file_that_would_grow_beyond_its_size_is_put_aside_and_some_are_kept(tmp_path):
    path = tmp_path / "events.jsonl"
    sink = FileSink(path, Rotation(size_bytes=30, keep=2))
    sink.write([b"%09d" % index for index in range(11)])
    sink.close()
    lines = {file.name: [int(line) for line in file.read_text().split()] for file in tmp_path.iterdir()}
    assert lines == {"events.jsonl": [9, 10], "events.jsonl.1": [6, 7, 8], "events.jsonl.2": [3, 4, 5]}


def test_a_file_of_which_none_is_kept_stays_below_its_size(tmp_path):
    path = tmp_path / "events.jsonl"
    sink = FileSink(path, Rotation(size_bytes=30, keep=0))
    sink.write([b"%09d" % index for index in range(100)])
    sink.close()
    assert [file.name for file in tmp_path.iterdir()] == ["events.jsonl"]
    assert path.read_text().split() == ["000000099"]


def test_a_line_longer_than_the_size_of_a_file_has_one_to_itself(tmp_path):
    path = tmp_path / "events.jsonl"
    sink = FileSink(path, Rotation(size_bytes=3, keep=9))
    sink.write([b"long line", b"another"])
    sink.close()
    assert (path.read_bytes(), (tmp_path / "events.jsonl.1").read_bytes()) == (b"another\n", b"long line\n")


def test_a_full_disk_is_an_error_with_path_and_advice():
    sink = FileSink(Path("/dev/full"))
    with pytest.raises(SinkError, match=r"/dev/full.*No space left.*free space"):
        sink.write([b"{}"])
    sink.close()


def test_a_line_that_fits_only_in_part_leaves_nothing_and_fits_later(tmp_path):
    path = tmp_path / "events.jsonl"
    sink = FileSink(path)
    sink.write([b"x" * 99])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, limits[1]))
    try:
        with pytest.raises(SinkError, match="cannot be written") as raised:
            sink.write([b"fits", b"y" * 99])
        assert raised.value.taken == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"x" * 99 + b"\nfits\n"
    sink.write([b"z"])
    assert path.read_bytes() == b"x" * 99 + b"\nfits\nz\n"
    sink.close()


@pytest.mark.parametrize("name", ["folder", "file/events.jsonl"])
def test_a_path_that_cannot_be_opened_is_named(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=name):
        FileSink(tmp_path / name)


def test_standard_output_gets_lines(capfd):
    sink = StdoutSink()
    sink.write([b'{"a":1}'])
    sink.close()
    assert capfd.readouterr().out == '{"a":1}\n'


def test_standard_output_that_nobody_reads_is_an_error():
    read_end, write_end = os.pipe()
    os.close(read_end)
    with pytest.raises(SinkError, match="standard output: Broken pipe"):
        StdoutSink(write_end).write([b"{}"])
    os.close(write_end)


def test_a_declared_sink_opens_by_its_type(tmp_path):
    assert isinstance(open_sink("ns/svc", DesiredSink(name="out", type="stdout"), Credentials()), StdoutSink)
    file = open_sink("ns/svc", DesiredSink(name="out", type="file", path=tmp_path / "events.jsonl"), Credentials())
    assert isinstance(file, FileSink)
    file.close()


def test_a_file_sink_without_path_is_refused():
    with pytest.raises(SinkError, match=r"'out'.*set `path`"):
        open_sink("ns/svc", DesiredSink(name="out", type="file"), Credentials())
