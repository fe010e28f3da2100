"""The watchdog ends a process, so each test gives it one of its own to end."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

from framepilot_app.supervision.watchdog import EXIT_STATUS, Watchdog
from support.clock import Clock

TIMEOUT_S = 100


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def test_a_device_thread_that_hangs_in_a_batch_ends_the_process_after_saying_what_all_threads_did():
    ended = run(
        """
        import sys, threading
        sys.path.insert(0, "tests")
        import torch
        from framepilot_app.modules.device import DeviceThread
        from framepilot_app.modules.preprocess import prepare
        from framepilot_app.modules.queue import Item
        from framepilot_app.supervision.watchdog import Watchdog
        from support.fake_engine import FakeCompiled, frame, graph, journey, module

        called = threading.Event()

        def a_call_into_the_driver_that_never_returns(batch):
            called.set()
            threading.Event().wait()

        one = module(FakeCompiled(a_call_into_the_driver_that_never_returns))
        device = DeviceThread(torch.device("cpu"), print, print)
        device.set_modules((one,))
        of = frame()
        pixels = prepare(of.image, None, one.lane.version.spec.input)
        item = Item(journey(of, graph(one)), graph(one).nodes[0], 0, pixels, 1e12, 0.0, 0.0)
        one.enter(1).push([item])
        device.start()
        called.wait()
        watchdog = Watchdog({"device thread": lambda: device.heartbeat}, 2.0)
        watchdog.start()
        threading.Event().wait()
        """
    )
    assert ended.returncode == EXIT_STATUS == 70
    assert "a_call_into_the_driver_that_never_returns" in ended.stderr
    last = json.loads(ended.stderr.splitlines()[-1])
    assert last["level"] == "CRITICAL"
    assert last["message"].startswith("the device thread has given no sign of life for")


def test_a_thread_that_never_gives_the_interpreter_back_ends_the_process_too():
    ended = run(
        """
        import re, threading, time
        from framepilot_app.supervision.watchdog import Watchdog

        Watchdog({"device thread": time.monotonic}, 1.0).start()
        time.sleep(1.0)
        re.match(r"(a+)+$", "a" * 64 + "b")
        """
    )
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "match" in ended.stderr


def test_a_watchdog_that_is_stopped_ends_nothing():
    ended = run(
        """
        import time
        from framepilot_app.supervision.watchdog import Watchdog

        watchdog = Watchdog({"device thread": time.monotonic}, 0.2)
        watchdog.start()
        time.sleep(0.1)
        watchdog.stop()
        time.sleep(1)
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_whoever_beats_is_not_stuck_and_whoever_does_not_is_named():
    clock = Clock(50.0)
    watchdog = Watchdog({"device thread": lambda: 100.0, "event loop": lambda: 50.0}, 60.0, clock=clock)
    clock.now = 105.0
    assert watchdog.stuck() is None
    clock.now = 111.0
    assert watchdog.stuck() == "the event loop has given no sign of life for 61 s"


def test_a_process_that_was_stopped_as_a_whole_is_not_stuck_when_it_goes_on():
    clock = Clock(0.0)
    watchdog = Watchdog({"device thread": lambda: 0.0}, 60.0, clock=clock)
    for clock.now in (6.0, 12.0, 500.0, 506.0, 530.0, 554.0):
        assert watchdog.look() is None
    clock.now = 561.0
    assert watchdog.look() == "the device thread has given no sign of life for 61 s"
