"""Watches a GPU on a thread of its own, once a second, so that a driver that hangs holds up nobody else.

What it knows is one immutable object that is replaced as a whole: who reads it takes no lock and waits for nothing. A
GPU or a driver that is gone is closed and opened anew after waits that grow.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from framepilot_app.telemetry.device_use import Readings, Watch
from framepilot_app.telemetry.nvml import NvmlError

EVERY_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
STOP_GRACE_S: Final = 1.0
"""How long a stop waits for the call that is under way."""

logger = logging.getLogger(__name__)


class Gpu(Protocol):
    """An opened device, as `nvml.Nvml` is one."""

    def read(self) -> Readings:
        """All that is known of it now.

        Raises:
            NvmlError: it is gone.
        """

    def close(self) -> None:
        """Give it back."""


class GpuWatcher:
    """Reads one GPU until it is stopped; `open_gpu` is called on its thread, and raises NvmlError."""

    def __init__(
        self,
        open_gpu: Callable[[], Gpu],
        *,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._open_gpu = open_gpu
        self._clock = clock
        self._unix_clock = unix_clock
        self._gpu: Gpu | None = None
        self._retry_s = EVERY_S
        self._watch = Watch()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; a call that does not come back is not waited for."""
        self._stopping.set()
        self._thread.join(STOP_GRACE_S)
        if self._thread.is_alive():
            logger.warning("NVML does not come back from a call; it is left alone")

    def watch(self) -> Watch:
        """What is known now. Any thread may ask, and does not wait."""
        return self._watch

    def sample(self) -> float:
        """Ask once; how many seconds to wait before the next time."""
        self._watch = replace(self._watch, calling_since=self._clock())
        try:
            if self._gpu is None:
                self._gpu = self._open_gpu()
            readings = self._gpu.read()
        except NvmlError as error:
            return self._failed(str(error))
        except Exception as error:
            logger.exception("reading the GPU failed")
            return self._failed(f"unexpected {type(error).__name__} while NVML was read; the log has the details")
        self._succeeded(readings)
        return EVERY_S

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self.sample())
        self._discard()

    def _succeeded(self, readings: Readings) -> None:
        if self._watch.error is not None:
            logger.info("the GPU can be watched again")
        self._retry_s = EVERY_S
        if readings.last_xid is None and self._watch.readings is not None:
            readings = replace(readings, last_xid=self._watch.readings.last_xid)
        self._watch = Watch(readings, self._clock(), self._unix_clock())

    def _failed(self, reason: str) -> float:
        if self._watch.error is None:
            logger.warning("the GPU cannot be watched, and is tried again: %s", reason)
        self._discard()
        self._watch = replace(self._watch, error=reason, calling_since=None)
        wait_s, self._retry_s = self._retry_s, min(LONGEST_WAIT_S, 2 * self._retry_s)
        return wait_s

    def _discard(self) -> None:
        gpu, self._gpu = self._gpu, None
        if gpu is not None:
            gpu.close()
