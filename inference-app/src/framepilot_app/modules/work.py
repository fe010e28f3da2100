"""The workers beside the device thread: crop, resize, decode of outputs, hand-over to the sinks.

What they run is OpenCV and numpy that release the interpreter's lock, with little Python around it: a thread that holds
the lock for long would stall the device thread.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

Task = Callable[[], None]


class Workers:
    """A fixed number of threads and one queue, first in, first out. Its length is bounded by the frames in flight."""

    def __init__(self, threads: int) -> None:
        self.failed_tasks = 0
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"worker-{index}", daemon=True) for index in range(threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> None:
        """Run this soon; it handles its own errors."""
        self._tasks.put(task)

    def stop(self) -> None:
        """Run what was submitted, then stop."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except BaseException:
                # Whatever it was, even an order to exit, the frames of others need this thread.
                log.exception("a task failed")
                self.failed_tasks += 1
