"""The app as a process whose parts break: it says so, or ends so that it is started again."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request

import pytest

from support.eventually import eventually

APP = """
    import sys, threading, time
    from pathlib import Path
    from framepilot_app import app
    from framepilot_app.modules import device

    folder = Path(sys.argv[1])
    {fault}
    app.run(app.Options(
        desired=folder / "desired.json", cache=folder / "cache", models_cache=None, host="127.0.0.1", port=0,
        device="cpu", parent=None, stuck_after_s=8.0,
    ))
"""

STUCK_DEVICE = """
    look = device.DeviceThread._look
    def hang(self, now):
        if (folder / "go").exists():
            threading.Event().wait()
        return look(self, now)
    device.DeviceThread._look = hang
"""

STUCK_LOOP = """
    observe = app.App.observe
    def hang(self):
        threading.Event().wait()
    app.App.observe = hang
"""

DEAD_SINK = """
    def die():
        while not (folder / "go").exists():
            time.sleep(0.01)
        raise KeyError("nobody thought of that")
    threading.Thread(target=die, name="sink-events", daemon=True).start()
"""


class Running:
    """An app with a fault built in, which shows when `go` is there."""

    def __init__(self, folder, fault: str) -> None:
        self.folder = folder
        code = textwrap.dedent(APP.replace("{fault}", fault.strip()))
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stderr=self.log)
        self._listen = folder / "cache" / "listen"
        eventually(self._listen.exists, "the app to listen")

    def go(self) -> None:
        (self.folder / "go").touch()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self._listen.read_text()}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def last_words(self) -> str:
        return json.loads((self.folder / "log").read_text().splitlines()[-1])["message"]


@pytest.fixture
def start(tmp_path):
    started: list[Running] = []

    def begin(fault: str) -> Running:
        started.append(Running(tmp_path, fault))
        return started[0]

    yield begin
    for running in started:
        running.process.kill()
        running.process.wait()
        running.log.close()


def test_a_stuck_device_thread_ends_the_process_with_status_70_and_a_dump_of_all_threads(start):
    running = start(STUCK_DEVICE)
    assert running.get("/healthz") == (200, "ok")
    running.go()
    assert running.process.wait(timeout=90) == 70
    assert "in hang" in (running.folder / "log").read_text()
    assert running.last_words().startswith("the device thread has given no sign of life")


def test_a_stuck_event_loop_ends_the_process_too(start):
    running = start(STUCK_LOOP)
    with pytest.raises(OSError):  # noqa: PT011 however the connection ends
        running.get("/status")
    assert running.process.wait(timeout=90) == 70
    assert running.last_words().startswith("the event loop has given no sign of life")


def test_a_thread_that_died_is_seen_in_healthz_and_counted(start):
    running = start(DEAD_SINK)
    running.go()
    eventually(lambda: running.get("/healthz")[0] == 503, "the death to be noticed")
    assert running.get("/healthz")[1] == "thread 'sink-events' died of KeyError: 'nobody thought of that'"
    assert 'framepilot_threads_died_total{thread="sink"} 1.0' in running.get("/metrics")[1]


DAMAGED_VIDEO = """
    import random, sys
    from pathlib import Path
    import cv2
    import numpy as np
    from framepilot_app.app import prepare_process
    from framepilot_app.streams.file import FileSource

    prepare_process()
    video = cv2.VideoWriter(sys.argv[1], cv2.VideoWriter_fourcc(*"XVID"), 25, (320, 240))
    for _ in range(50):
        video.write(np.random.randint(0, 255, (240, 320, 3), np.uint8))
    video.release()
    content = bytearray(open(sys.argv[1], "rb").read())
    chance = random.Random(1)
    for _ in range(1000):
        content[chance.randrange(10000, len(content) - 20000)] = chance.randrange(256)
    open(sys.argv[1], "wb").write(content)
    source = FileSource(Path(sys.argv[1]))
    while source.read() is not None:
        print("frame")
"""


def test_a_damaged_video_does_not_fill_the_log(tmp_path):
    code = textwrap.dedent(DAMAGED_VIDEO)
    command = [sys.executable, "-c", code, str(tmp_path / "damaged.avi")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert "frame" in ended.stdout
    assert ended.stderr == ""
