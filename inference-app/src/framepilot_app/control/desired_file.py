"""Follow one file, however it is written: renamed into place, a symbolic link swapped by kubelet, saved by a person.

What the system says of the file is asked every few milliseconds, not watched: that sees every way of writing, on every
file system. Only when that has changed is it read and compared; and now and then in any case, as there are file systems
whose times are coarse.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from framepilot_app.stamp import Stamp

POLL_S: Final = 0.02
READ_S: Final = 0.5


async def follow(path: Path, poll_s: float = POLL_S, read_s: float = READ_S) -> AsyncIterator[bytes | OSError]:
    """The content, then each new content; or why it cannot be read, once for each reason.

    Args:
        path: the file, which need not be there.
        poll_s: how often it is looked at, in seconds.
        read_s: how often it is read though it looks the same.
    """
    last: bytes | str | None = None
    looked: Stamp | None = None
    read_at = -math.inf
    while True:
        # Before it is read: what is written in between looks new at the next look.
        looks, now = _looks(path), time.monotonic()
        if looks != looked or now >= read_at + read_s:
            looked, read_at = looks, now
            found = _read(path)
            key = found if isinstance(found, bytes) else str(found)
            if key != last:
                last = key
                yield found
        await asyncio.sleep(poll_s)


def _looks(path: Path) -> Stamp | None:
    try:
        return Stamp.of(path.stat())
    except OSError:
        return None


def _read(path: Path) -> bytes | OSError:
    try:
        return path.read_bytes()
    except OSError as error:
        return error
