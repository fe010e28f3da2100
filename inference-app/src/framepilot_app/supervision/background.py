"""A thread at low priority for what lets go of the interpreter, but takes a core for seconds."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

LOWEST_PRIORITY: Final = 19

Result = TypeVar("Result")


def in_background(call: Callable[[], Result], name: str, *, low_priority: bool) -> Future[Result]:
    """Call it on a thread of its own. The process does not end before it has returned.

    Threads that it starts inherit a low priority and cannot get rid of it, so it is not for a call that starts some
    which are to serve later.
    """
    future: Future[Result] = Future()

    def run() -> None:
        if low_priority and sys.platform == "linux":
            # Linux has priorities of threads, and calls them processes.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 whoever waits for it gets it
            future.set_exception(error)
        else:
            future.set_result(result)

    future.set_running_or_notify_cancel()
    threading.Thread(target=run, name=name).start()
    return future
