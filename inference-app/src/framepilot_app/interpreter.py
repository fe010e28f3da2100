"""How long a thread may hold Python's lock while others wait for it.

With few modules little is computed in Python, and the longest stretches are those beside the frames, as when a model is
read or `/status` is written: the device thread should not wait for them. With many, it is the frames themselves: what a
hundred services do with one frame of a camera is milliseconds of Python in each of a few threads. Whoever is stopped in
the middle of it only lets the others wait for both, and every thread that waits wakes up as often to say so.
"""

from __future__ import annotations

import sys
from typing import Final

SHORTEST_S: Final = 0.0002
"""Ten times what it takes to hand the lock over."""
LONGEST_S: Final = 0.005
"""Python's default."""
OF_A_MODULE_S: Final = 0.00005
"""About what a module's part of a frame takes of Python in one thread."""


def switch_interval_s(modules: int) -> float:
    """Seconds, for so many modules: a millisecond for twenty."""
    return min(max(modules * OF_A_MODULE_S, SHORTEST_S), LONGEST_S)


def follow(modules: int) -> None:
    """So many modules run now."""
    sys.setswitchinterval(switch_interval_s(modules))
