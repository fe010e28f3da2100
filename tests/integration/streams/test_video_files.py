from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import pytest

from framepilot.contract.observed import StreamState
from framepilot_app.streams.count import count_frames
from framepilot_app.streams.open import open_source
from framepilot_app.streams.reader import Reader, ReaderSettings
from framepilot_app.streams.source import SourceError
from framepilot_app.streams.synthetic import SyntheticSettings, SyntheticSource, read_number

DEADLINE_S = 60


def make_video(path, frames, *, codec="MJPG", fps=25.0, size=(320, 240)):
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), fps, size)
    assert writer.isOpened()
    source = SyntheticSource(SyntheticSettings(*size, frames=frames, seed=7))
    while (image := source.read()) is not None:
        writer.write(image)
    writer.release()
    return path


def numbers(uri):
    source = open_source(uri)
    found = []
    while (image := source.read()) is not None:
        found.append(read_number(image))
    source.close()
    return found


def threads():
    return sum(1 for _ in Path("/proc/self/task").iterdir())


class Collector:
    def __init__(self):
        self.seen = []
        self.over = threading.Event()

    def offer(self, image, _epoch, sequence, *_times):
        self.seen.append((sequence, read_number(image)))

    def ended(self, _reason):
        self.over.set()


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v")])
def test_every_frame_of_a_compressed_file_arrives_with_its_number(tmp_path, name, codec):
    path = make_video(tmp_path / name, 60, codec=codec)
    assert numbers(path.as_uri()) == list(range(60))
    assert count_frames(path) == 60


def test_a_path_is_percent_decoded(tmp_path):
    path = make_video(tmp_path / "front door #1 100%é?.avi", 3)
    assert path.as_uri() != f"file://{path}"
    assert numbers(path.as_uri()) == [0, 1, 2]


def test_the_rate_is_that_of_the_file(tmp_path):
    source = open_source(make_video(tmp_path / "a.avi", 3, fps=12.5).as_uri())
    assert source.fps == pytest.approx(12.5)
    source.close()


def test_skipped_frames_are_passed_over(tmp_path):
    source = open_source(make_video(tmp_path / "a.avi", 4).as_uri())
    assert source.skip()
    assert read_number(source.read()) == 1
    assert source.skip()
    assert read_number(source.read()) == 3
    assert not source.skip()
    assert source.read() is None
    source.close()
    source.close()


def test_a_truncated_file_gives_what_can_be_decoded_whatever_its_header_says(tmp_path):
    path = make_video(tmp_path / "a.avi", 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = numbers(path.as_uri())
    assert found == list(range(len(found)))
    assert 10 < len(found) < 30
    assert count_frames(path) == len(found)


def test_decoding_starts_no_threads_of_its_own(tmp_path):
    path = make_video(tmp_path / "a.mp4", 10, codec="mp4v", size=(640, 480))
    open_source(path.as_uri()).close()
    before = threads()
    sources = [open_source(path.as_uri()) for _ in range(4)]
    for source in sources:
        source.read()
    assert threads() <= before
    for source in sources:
        source.close()


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file"), (b"this is not a video", "not a video"), (b"", "not a video")],
)
def test_what_is_no_video_is_one_clear_error_and_no_noise(tmp_path, capfd, content, problem):
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=problem) as raised:
        open_source(path.as_uri())
    assert str(path) in str(raised.value)
    assert "check" in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_a_video_cut_off_before_its_index_is_one_clear_error_and_no_noise(tmp_path, capfd):
    path = make_video(tmp_path / "a.mp4", 40, codec="mp4v")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    capfd.readouterr()
    with pytest.raises(SourceError, match="not a video"):
        open_source(path.as_uri())
    assert capfd.readouterr() == ("", "")


def test_a_folder_and_a_pipe_are_no_videos(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe):
        with pytest.raises(SourceError, match="not a regular file"):
            open_source(path.as_uri())


@pytest.mark.parametrize(
    "uri", ["file://videos/a.avi", "file:///a.avi?x=1", "file:///a.avi#t", "file://", "file:///%00"]
)
def test_a_malformed_file_uri_is_refused(uri):
    with pytest.raises(SourceError, match="file"):
        open_source(uri)


def test_a_reader_hands_on_every_frame_of_a_file(tmp_path):
    path = make_video(tmp_path / "a.avi", 30)
    reader, collector = Reader(ReaderSettings(path.as_uri(), realtime=False)), Collector()
    reader.add(collector)
    reader.start()
    assert collector.over.wait(DEADLINE_S)
    reader.stop()
    assert collector.seen == [(index, index) for index in range(30)]
    assert reader.status().state is StreamState.ENDED


def test_a_capped_reader_leaves_frames_of_a_file_out(tmp_path):
    path = make_video(tmp_path / "a.avi", 100, fps=1000)
    reader, collector = Reader(ReaderSettings(path.as_uri(), fps=100)), Collector()
    reader.add(collector)
    reader.start()
    assert collector.over.wait(DEADLINE_S)
    reader.stop()
    assert collector.seen == [(index, 10 * index) for index in range(10)]


def test_the_count_command_prints_json(tmp_path):
    paths = [make_video(tmp_path / name, frames) for name, frames in (("a.avi", 5), ("b.avi", 9))]
    command = [sys.executable, "-m", "framepilot_app.streams.count", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(done.stdout) == {str(paths[0]): 5, str(paths[1]): 9}
    assert done.stderr == b""


def test_the_count_command_says_what_it_cannot_count(tmp_path):
    command = [sys.executable, "-m", "framepilot_app.streams.count", str(tmp_path / "no.avi")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"no.avi" in done.stderr
    assert done.stdout == b""
