"""`framepilot up` as a user runs it: a real operator, real instances, real video files, tiny models."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from framepilot_operator.ledger import parse
from support.eventually import eventually
from support.framepilot_command import FRAMEPILOT
from support.tiny_model import write_tiny_model

DOOR_FRAMES, GATE_FRAMES = 60, 45


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Versions 1 and 2 are in order; `broken` does not reproduce its own example."""
    folder = tmp_path_factory.mktemp("store")
    write_tiny_model(folder, "1")
    write_tiny_model(folder, "2", gain=2.0)
    write_tiny_model(folder, "broken", gain=3.0, served_gain=4.0)
    return folder


def write_video(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    for index in range(frames):
        writer.write(np.full((48, 64, 3), index * 7 % 255, np.uint8))
    writer.release()


@pytest.fixture
def lobby(tmp_path, store) -> Path:
    write_video(tmp_path / "door.mp4", DOOR_FRAMES)
    write_video(tmp_path / "gate.mp4", GATE_FRAMES)
    file = tmp_path / "lobby.yaml"
    file.write_text(f"""\
apiVersion: framepilot.dev/v1alpha1
kind: InferenceService
metadata: {{name: lobby, namespace: cameras}}
spec:
  streams:
    - {{name: door, source: "file:door.mp4"}}
    - {{name: gate, source: "file:gate.mp4"}}
  modules:
    - {{name: light, batching: {{mode: Fixed, size: 2}}, model: {{name: tiny, version: "1"}}}}
  models: {{store: "file://{store}"}}
  objective: {{latency: 5s}}
  sinks: [{{name: out, type: stdout}}]
""")
    return file


class Up:
    """A running `framepilot up` with a report, its state and its output below one folder."""

    def __init__(self, file: Path, *options: str, stdout: int) -> None:
        self.folder = file.parent
        self.report = self.folder / "report.json"
        self.environment = os.environ | {"XDG_STATE_HOME": str(self.folder / "state")}
        self.err = self.folder / "err"
        with self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [FRAMEPILOT, "up", str(file), "--report", str(self.report), *options],
                stdout=stdout,
                stderr=err,
                env=self.environment,
            )

    def set(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [FRAMEPILOT, "set", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)

    def says(self, sentence: str) -> None:
        def said() -> bool:
            assert self.process.poll() is None or sentence in self.err.read_text(), self.err.read_text()
            return sentence in self.err.read_text()

        eventually(said, f"'{sentence}' to be said")

    def ends(self) -> tuple[int, dict]:
        code = self.process.wait(60)
        assert self.report.exists(), self.err.read_text()
        return code, json.loads(self.report.read_text())


@contextmanager
def running(file: Path, *options: str, stdout: int = subprocess.DEVNULL) -> Iterator[Up]:
    up = Up(file, *options, stdout=stdout)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.process.kill()
        up.process.communicate()


def child(up: Up) -> int:
    """The process of the one instance."""
    return int(Path(f"/proc/{up.process.pid}/task/{up.process.pid}/children").read_text().split()[0])


def endless(file: Path) -> Path:
    """The same with streams that loop in real time."""
    file.write_text(file.read_text().replace('.mp4"}', '.mp4", loop: true, realtime: true}'))
    return file


def test_a_run_ends_when_all_files_have_ended_and_lost_nothing(lobby):
    results = lobby.parent / "results"
    with results.open("wb") as out, running(lobby, stdout=out.fileno()) as up:
        code, report = up.ends()
        assert code == 0, up.err.read_text()
        frames = DOOR_FRAMES + GATE_FRAMES
        assert report["frames"] == {"ingested": frames, "delivered": frames, "dropped": {}, "in_flight": 0, "lost": 0}
        assert [(stream["name"], stream["delivered"]) for stream in report["streams"]] == [
            ("door", DOOR_FRAMES),
            ("gate", GATE_FRAMES),
        ]
        # The table and the log are on stderr: standard output holds results and nothing else.
        events = [parse(line) for line in results.read_bytes().splitlines()]
        assert Counter(event and event.frame.stream for event in events) == {"door": DOOR_FRAMES, "gate": GATE_FRAMES}


def test_batch_and_version_change_while_frames_flow_and_a_broken_model_is_refused(lobby):
    with running(endless(lobby)) as up:
        up.says("module light model: tiny 1 serves")
        up.says("stream gate: running")
        assert up.set("cameras/lobby", "light", "--batch", "4").stdout == "cameras/lobby light: batch 2 -> 4\n"
        up.says("cameras/lobby light: batch 2 -> 4: applied")
        up.set("cameras/lobby", "light", "--model-version", "2")
        up.says("cameras/lobby light: model 1 -> 2: applied")
        up.set("cameras/lobby", "light", "--model-version", "broken")
        up.says("cameras/lobby light: model 2 -> broken: refused")
        up.process.send_signal(signal.SIGINT)
        code, report = up.ends()
        assert code == 0, up.err.read_text()
        assert report["frames"]["lost"] == 0
        assert [(change["from"], change["to"], change["outcome"]) for change in report["changes"]] == [
            ("2", "4", "applied"),
            ("1", "2", "applied"),
            ("2", "broken", "refused"),
        ]
        assert "example" in report["changes"][2]["reason"]
        assert [change["lost"] for change in report["changes"]] == [0, 0, 0]
        (module,) = report["modules"]
        assert (module["version"], module["batch"]) == ("2", 4)


def test_every_frame_has_its_event_in_the_file_of_the_report(lobby):
    with running(endless(lobby), "--state", str(lobby.parent / "kept")) as up:
        up.says("stream gate: running")
        up.process.send_signal(signal.SIGTERM)
        code, report = up.ends()
        assert code == 0
    events = lobby.parent / "kept" / "events" / "cameras.lobby.jsonl"
    assert len(events.read_bytes().splitlines()) == report["frames"]["delivered"] == report["frames"]["ingested"]


def test_a_killed_instance_comes_back_and_every_frame_is_accounted_for(lobby):
    with running(endless(lobby)) as up:
        up.says("stream gate: running")
        os.kill(child(up), signal.SIGKILL)
        up.says("was ended by SIGKILL")
        eventually(lambda: up.err.read_text().count("stream gate: running") == 2, "the stream to run again")
        up.process.send_signal(signal.SIGINT)
        code, report = up.ends()
        frames = report["frames"]
        assert code == 0, up.err.read_text()
        assert frames["delivered"] > 0
        assert frames["ingested"] == frames["delivered"] + sum(frames["dropped"].values()) + frames["lost"]


def test_it_says_where_the_page_is_and_has_none_where_that_was_asked_for(lobby):
    with running(endless(lobby)) as up:
        up.says("shows what it does at http://127.0.0.1:")
        address = re.search(r"shows what it does at (http://\S+)", up.err.read_text())[1]
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert b"<title>Framepilot</title>" in answer.read()
    with running(lobby, "--no-page") as up:
        up.says("stream gate: running")
        assert "http://" not in up.err.read_text()


def test_a_second_ctrl_c_ends_at_once(lobby):
    with running(endless(lobby)) as up:
        up.says("stream gate: running")
        stopped = child(up)
        os.kill(stopped, signal.SIGSTOP)
        up.process.send_signal(signal.SIGINT)
        up.says("Ctrl-C again")
        assert up.process.poll() is None
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(10) == 130
        # It would end by itself, now that its parent is gone, if it could run.
        with suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGKILL)


def test_a_run_ends_after_the_time_it_was_given(lobby):
    with running(endless(lobby), "--for", "1s") as up:
        assert up.ends()[0] == 0


def test_a_video_that_does_not_exist_is_said_and_fails_the_run(lobby):
    lobby.write_text(lobby.read_text().replace("gate.mp4", "none.mp4"))
    with running(lobby) as up:
        code, report = up.ends()
        assert code == 1
        assert "cameras/lobby stream gate failed: " in up.err.read_text()
        assert report["frames"]["lost"] == 0


def test_files_that_are_not_valid_start_nothing(lobby):
    lobby.write_text(lobby.read_text().replace("latency: 5s", "latency: soon"))
    with running(lobby) as up:
        assert up.process.wait(60) == 1
        checked = subprocess.run([FRAMEPILOT, "validate", str(lobby)], capture_output=True, check=False)
        assert up.err.read_bytes() == checked.stderr
        assert not (up.folder / "state").exists()


def test_a_service_whose_credentials_are_not_given_starts_nothing_and_says_what_to_give(lobby, tmp_path):
    lobby.write_text(lobby.read_text().replace("spec:\n", "spec:\n  credentialsSecretName: cams\n"))
    for options, sentence in [
        ((), "cameras/lobby: credentialsSecretName is 'cams'; add --credentials DIR and in it the folder 'cams'"),
        (("--credentials", str(tmp_path)), f"add the folder '{tmp_path}/cams' with its files"),
    ]:
        with running(lobby, *options) as up:
            assert up.process.wait(60) == 1
            assert sentence in up.err.read_text()


def test_while_it_runs_it_says_how_to_change_it(lobby):
    with running(endless(lobby)) as up:
        up.says("framepilot set cameras/lobby light --batch 16|auto")
