"""Processes are ended by their recorded id, and never another process that has the id by now."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster import paths, processes
from support.eventually import eventually

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(paths, "PROCESSES", tmp_path / "processes")
    monkeypatch.setattr(paths, "LOGS", tmp_path / "logs")
    yield
    processes.stop("part")


def test_a_started_process_runs_until_it_is_stopped():
    started = processes.start("part", SLEEPS, "digest")
    assert processes.running("part") == started
    processes.stop("part")
    assert processes.running("part") is None
    assert not Path(f"/proc/{started.pid}").exists()


def test_one_that_does_not_listen_is_killed():
    ignores = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    )
    started = processes.start("part", [sys.executable, "-c", ignores], "digest")
    eventually(lambda: processes.log_of("part").read_text(), "the process to ignore the signal")
    processes.stop("part", patience_s=0.1)
    assert not Path(f"/proc/{started.pid}").exists()


def test_a_process_that_ended_does_not_run_though_nobody_reaped_it():
    processes.start("part", [sys.executable, "-c", "pass"], "digest")
    eventually(lambda: processes.running("part") is None, "the process to end")


def test_another_process_with_a_recorded_id_is_left_alone():
    with subprocess.Popen(SLEEPS) as other:
        try:
            paths.PROCESSES.mkdir()
            record = {"pid": other.pid, "started": (processes.started_at(other.pid) or 0) - 1, "digest": ""}
            (paths.PROCESSES / "part.json").write_text(json.dumps(record))
            assert processes.running("part") is None
            processes.stop("part")
            assert other.poll() is None
        finally:
            other.kill()


def test_the_start_of_a_process_is_read_whatever_its_name(tmp_path: Path):
    odd = tmp_path / "a) S 1 2 (b"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([odd, "600"]) as process:
        try:
            stat = Path(f"/proc/{process.pid}/stat").read_text()
            assert "(a) S 1 2 (b)" in stat
            assert processes.started_at(process.pid) == int(stat.replace("(a) S 1 2 (b)", "(sleep)").split()[21])
        finally:
            process.kill()
