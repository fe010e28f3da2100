"""A GPU's watcher: what it knows after each answer of a GPU, and how long it waits before it asks again."""

from __future__ import annotations

from collections.abc import Callable

from framepilot_app.telemetry.device_use import Readings
from framepilot_app.telemetry.gpu_watcher import LONGEST_WAIT_S, GpuWatcher
from framepilot_app.telemetry.nvml import NvmlError


class ScriptedGpu:
    """Gives these answers one after the other, and is opened anew as often as one asks."""

    def __init__(self, *answers: Readings | Exception) -> None:
        self._answers = iter(answers)
        self.opened = 0
        self.closed = 0
        self.during: Callable[[], None] = lambda: None

    def open(self) -> ScriptedGpu:
        self.opened += 1
        return self

    def read(self) -> Readings:
        self.during()
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1


def watcher(gpu: ScriptedGpu, at: float = 100.0) -> GpuWatcher:
    return GpuWatcher(gpu.open, clock=lambda: at, unix_clock=lambda: 5000.0)


def test_a_sample_is_kept_with_its_time():
    gpu = ScriptedGpu(Readings(utilization_percent=40))
    watching = watcher(gpu)
    assert watching.sample() == 1
    watch = watching.watch()
    assert (watch.readings, watch.read_at, watch.read_unix) == (Readings(utilization_percent=40), 100, 5000)
    assert (watch.error, watch.calling_since) == (None, None)


def test_while_a_call_goes_on_it_is_known_since_when():
    gpu = ScriptedGpu(Readings())
    watching = watcher(gpu)
    since = []
    gpu.during = lambda: since.append(watching.watch().calling_since)
    watching.sample()
    assert since == [100]


def test_a_lost_gpu_is_closed_and_opened_again_after_waits_that_grow_until_it_is_back():
    lost = NvmlError("the GPU is lost")
    gpu = ScriptedGpu(Readings(utilization_percent=40), *[lost] * 7, Readings(utilization_percent=50), lost)
    watching = watcher(gpu)
    watching.sample()
    assert [watching.sample() for _ in range(7)] == [1, 2, 4, 8, 16, LONGEST_WAIT_S, LONGEST_WAIT_S]
    watch = watching.watch()
    assert (watch.error, watch.calling_since) == ("the GPU is lost", None)
    assert (gpu.opened, gpu.closed) == (7, 7)
    assert watching.sample() == 1
    assert (watching.watch().error, watching.watch().readings) == (None, Readings(utilization_percent=50))
    assert watching.sample() == 1


def test_what_nobody_expected_is_an_error_and_no_death():
    watching = watcher(ScriptedGpu(ValueError("bad"), Readings()))
    watching.sample()
    assert watching.watch().error == "unexpected ValueError while NVML was read; the log has the details"
    watching.sample()
    assert watching.watch().error is None


def test_an_xid_error_is_remembered_after_it_was_told_once():
    watching = watcher(ScriptedGpu(Readings(last_xid=79), Readings(), NvmlError("gone"), Readings()))
    for _ in range(4):
        watching.sample()
    assert watching.watch().readings == Readings(last_xid=79)
