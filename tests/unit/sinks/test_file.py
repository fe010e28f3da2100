from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from framepilot.contract.desired import DesiredSink
from framepilot_app.sinks.file import FileSink
from framepilot_app.sinks.open import open_sink
from framepilot_app.sinks.sink import SinkError
from framepilot_app.sinks.stdout import StdoutSink


def test_lines_are_appended_and_there_at_once(tmp_path):
    path = tmp_path / "deep" / "folder" / "events.jsonl"
    sink = FileSink(path)
    sink.write(b'{"a":1}')
    assert path.read_bytes() == b'{"a":1}\n'
    sink.close()
    sink.close()
    again = FileSink(path)
    again.write(b'{"b":2}')
    again.flush()
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n'
    again.close()


def test_a_closed_sink_takes_nothing(tmp_path):
    sink = FileSink(tmp_path / "events.jsonl")
    sink.close()
    with pytest.raises(SinkError, match="closed"):
        sink.write(b"{}")


def test_a_full_disk_is_an_error_with_path_and_advice():
    sink = FileSink(Path("/dev/full"))
    with pytest.raises(SinkError, match=r"/dev/full.*No space left.*free space"):
        sink.write(b"{}")
    sink.close()


def test_a_line_that_fits_only_in_part_leaves_nothing_and_fits_later(tmp_path):
    path = tmp_path / "events.jsonl"
    sink = FileSink(path)
    sink.write(b"x" * 99)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, limits[1]))
    try:
        with pytest.raises(SinkError, match="cannot be written"):
            sink.write(b"y" * 99)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"x" * 99 + b"\n"
    sink.write(b"z")
    assert path.read_bytes() == b"x" * 99 + b"\nz\n"
    sink.close()


@pytest.mark.parametrize("name", ["folder", "file/events.jsonl"])
def test_a_path_that_cannot_be_opened_is_named(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=name):
        FileSink(tmp_path / name)


def test_standard_output_gets_lines(capfd):
    sink = StdoutSink()
    sink.write(b'{"a":1}')
    sink.flush()
    sink.close()
    assert capfd.readouterr().out == '{"a":1}\n'


def test_standard_output_that_nobody_reads_is_an_error():
    read_end, write_end = os.pipe()
    os.close(read_end)
    with pytest.raises(SinkError, match="standard output: Broken pipe"):
        StdoutSink(write_end).write(b"{}")
    os.close(write_end)


def test_a_declared_sink_opens_by_its_type(tmp_path):
    assert isinstance(open_sink(DesiredSink(name="out", type="stdout")), StdoutSink)
    file = open_sink(DesiredSink(name="out", type="file", path=tmp_path / "events.jsonl"))
    assert isinstance(file, FileSink)
    file.close()


def test_a_file_sink_without_path_is_refused():
    with pytest.raises(SinkError, match=r"'out'.*set `path`"):
        open_sink(DesiredSink(name="out", type="file"))
