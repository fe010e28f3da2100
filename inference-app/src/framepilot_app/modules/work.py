"""The workers beside the device thread: crop, resize, decode of outputs, hand-over to the sinks.

What they run is OpenCV and numpy that release the interpreter's lock, with little Python around it: a thread that holds
the lock for long would stall the device thread.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

Task = Callable[[], None]


class Workers:
    """A fixed number of threads and one queue, first in, first out. Its length is bounded by the frames in flight."""

    def __init__(self, threads: int) -> None:
        self.failed_tasks = 0
        self._tasks: queue.SimpleQueue[Sequence[Task]] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"worker-{index}", daemon=True) for index in range(threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> None:
        """Run this soon; it handles its own errors."""
        self._tasks.put((task,))

    def submit_all(self, tasks: Sequence[Task]) -> None:
        """Run these soon, shared out between the threads, each of which is woken once."""
        for first in range(min(len(tasks), len(self._threads))):
            self._tasks.put(tasks[first :: len(self._threads)])

    def stop(self) -> None:
        """Run what was submitted, then stop."""
        for _ in self._threads:
            self._tasks.put(())
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while tasks := self._tasks.get():
            for task in tasks:
                self._run_one(task)

    def _run_one(self, task: Task) -> None:
        try:
            task()
        except BaseException:
            # Whatever it was, even an order to exit, the frames of others need this thread.
            log.exception("a task failed")
            self.failed_tasks += 1
