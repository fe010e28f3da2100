"""Give freed memory back to the system: glibc keeps it otherwise, and a swapped model would leave its size behind, as
would a stream what its reader and decoder used."""

from __future__ import annotations

import ctypes
import threading
from typing import Final

TRIM_AFTER_S: Final = 0.5
"""From the last use of a program to the return of its memory: its last results are decoded and gone by then."""

_lock = threading.Lock()
_trimming: threading.Timer | None = None


def trim() -> None:
    """Return free heap pages to the system (`malloc_trim(3)`); does nothing on other C libraries.

    Without a garbage collection first: it would hold the interpreter for a tenth of a second, and what a version holds
    is in no reference cycle.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def trim_soon() -> None:
    """The same in a moment, when nobody refers any more to what was given up now; once for what goes together."""
    global _trimming  # noqa: PLW0603 - the heap is the process's, too
    with _lock:
        if _trimming is not None:
            _trimming.cancel()
        _trimming = threading.Timer(TRIM_AFTER_S, trim)
        _trimming.daemon = True
        _trimming.start()
