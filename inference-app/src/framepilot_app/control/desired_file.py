"""Follow one file, however it is written: renamed into place, a symbolic link swapped by kubelet, saved by a person.

The content is read again every few milliseconds and compared, not watched: that sees every way of writing, on every
file system, and costs less than a thousandth of a core.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

POLL_S: Final = 0.02


async def follow(path: Path, poll_s: float = POLL_S) -> AsyncIterator[bytes | OSError]:
    """The content, then each new content; or why it cannot be read, once for each reason."""
    last: bytes | str | None = None
    while True:
        try:
            found: bytes | OSError = path.read_bytes()  # noqa: ASYNC240 a few kB of a local file
        except OSError as error:
            found = error
        key = found if isinstance(found, bytes) else str(found)
        if key != last:
            last = key
            yield found
        await asyncio.sleep(poll_s)
