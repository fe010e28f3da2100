"""A camera in front of which nothing happens for most of the time: a real `framepilot up` runs only what is new."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from framepilot.contract.observed import ObservedState, ObservedStream
from support.eventually import eventually
from support.framepilot_command import FRAMEPILOT
from support.tiny_model import write_tiny_model

MOVES_FROM, MOVES_TO, FRAMES = 40, 60, 100


def write_hall(path: Path) -> None:
    """Somebody comes, walks through the picture and stands still."""
    random = np.random.default_rng(0)
    tile = random.integers(30, 120, (6, 8, 3), dtype=np.uint8)
    hall = np.asarray(cv2.resize(tile, (320, 240), interpolation=cv2.INTER_CUBIC), np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (320, 240))
    for index in range(FRAMES):
        picture = hall.copy()
        if index >= MOVES_FROM:
            x = 10 + 12 * (min(index, MOVES_TO - 1) - MOVES_FROM)
            picture[100:180, x : x + 30] = 230
        noisy = picture + random.normal(0, 4, picture.shape)
        writer.write(np.clip(noisy, 0, 255).astype(np.uint8))
    writer.release()


@pytest.fixture
def lobby(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "store")
    write_hall(tmp_path / "hall.mp4")
    file = tmp_path / "lobby.yaml"
    file.write_text(f"""\
apiVersion: framepilot.dev/v1alpha1
kind: InferenceService
metadata: {{name: lobby, namespace: cameras}}
spec:
  streams:
    - {{name: hall, source: "file:hall.mp4", motion: {{atLeastEvery: 5m}}}}
  modules:
    - {{name: light, model: {{name: tiny, version: "1"}}}}
  models: {{store: "file://{tmp_path}/store"}}
  objective: {{latency: 5s}}
  sinks: [{{name: out, type: file, path: "{tmp_path}/events.jsonl"}}]
""")
    return file


def up(file: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [FRAMEPILOT, "up", str(file), "--state", str(file.parent / "state"), "--no-page", *options]
    with (file.parent / "err").open("wb") as err:
        environment = os.environ | {"XDG_STATE_HOME": str(file.parent / "home")}
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=err, env=environment)


def hall_of(file: Path) -> ObservedStream | None:
    """What the instance says of the stream; None until it does."""
    listen = file.parent / "state" / "instances" / "cameras.lobby" / "cache" / "listen"
    if not listen.exists():
        return None
    with urllib.request.urlopen(f"http://{listen.read_text()}/status", timeout=30) as answer:
        return next(iter(ObservedState.parse(answer.read()).streams), None)


def test_what_is_new_is_run_and_the_rest_is_accounted_for_as_still(lobby: Path) -> None:
    report = lobby.parent / "report.json"
    process = up(lobby, "--report", str(report))
    assert process.wait(240) == 0, (lobby.parent / "err").read_text()
    frames = json.loads(report.read_text())["frames"]
    run = [json.loads(line)["data"]["sequence"] for line in (lobby.parent / "events.jsonl").read_text().splitlines()]
    assert run == [0, *range(MOVES_FROM, MOVES_TO)]
    assert (frames["ingested"], frames["delivered"], frames["lost"]) == (FRAMES, len(run), 0)
    assert frames["dropped"] == {"still": FRAMES - len(run)}


def test_what_is_declared_of_motion_is_changed_without_opening_the_source_again(lobby: Path) -> None:
    # An epoch of the test source lasts; of a looped file each round is one.
    patient = lobby.read_text().replace("file:hall.mp4", "test://320x240?fps=25").replace("5m}", "5m, change: 99%}")
    lobby.write_text(patient)
    process = up(lobby)
    try:

        def still() -> bool:
            stream = hall_of(lobby)
            return stream is not None and stream.frames.dropped.get("still", 0) > 25

        eventually(still, "still frames to be left alone", 240)
        before = hall_of(lobby)
        assert before is not None
        assert before.frames.delivered == 1
        lobby.write_text(patient.replace(", motion: {atLeastEvery: 5m, change: 99%}", ""))
        eventually(lambda: (now := hall_of(lobby)) is not None and now.frames.delivered > 25, "all to be run", 240)
        after = hall_of(lobby)
        assert after is not None
        assert (after.epoch, after.reconnects) == (before.epoch, 0)
        counts = after.frames
        assert counts.ingested == counts.delivered + sum(counts.dropped.values()) + counts.in_flight
    finally:
        process.terminate()
        process.wait(60)
