"""What is left to do when models, streams or plans have come or gone: the collector is told what will stay, and freed
memory goes back to the system.

Python's garbage collector looks at everything again whenever enough that is new has survived, and holds the interpreter
meanwhile. What a hundred models are made of it would go through for a tenth of a second and more, every few seconds
under load, and find nothing: what a model holds is in no reference cycle. So what is there once things have settled is
taken out of its sight. The C library keeps what was freed, and a swapped model would leave its size behind, as would a
stream what its reader and decoder used.
"""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from typing import Final

SETTLED_S: Final = 0.5
"""From the last change to the tidying: the last results of what went are decoded and gone by then."""

ALL_AFTER_S: Final = 3600.0
"""How often everything is looked at again, if anything changes at all: services that went may have left cycles."""

_lock = threading.Lock()
_tidying: threading.Timer | None = None
_all_at = time.monotonic() + ALL_AFTER_S


def tidy() -> None:
    """Collect what came since the last time, which takes milliseconds, let the rest be, and return free heap pages
    (`malloc_trim(3)`; not on other C libraries)."""
    global _all_at  # noqa: PLW0603 - the collector is the process's, too
    if time.monotonic() >= _all_at:
        gc.unfreeze()
        _all_at = time.monotonic() + ALL_AFTER_S
    gc.collect()
    gc.freeze()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def tidy_soon() -> None:
    """The same when things have settled; once for what goes together."""
    global _tidying  # noqa: PLW0603 - the heap is the process's, too
    with _lock:
        if _tidying is not None:
            _tidying.cancel()
        _tidying = threading.Timer(SETTLED_S, tidy)
        _tidying.daemon = True
        _tidying.start()
