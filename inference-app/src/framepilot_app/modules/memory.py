"""Give freed memory back to the system: glibc keeps it otherwise, and a swapped model would leave its size behind."""

from __future__ import annotations

import ctypes


def trim() -> None:
    """Return free heap pages to the system (`malloc_trim(3)`); does nothing on other C libraries.

    Without a garbage collection first: it would hold the interpreter for a tenth of a second, and what a version holds
    is in no reference cycle.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
