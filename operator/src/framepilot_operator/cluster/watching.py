"""Tells when one of some files may have been edited.

The folders are watched, not the files: an editor puts a new file in the old one's place, and a file may be yet to come.
A folder that does not exist cannot be watched; whoever looks regularly as well misses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from watchfiles import awatch

QUIET_MS: Final = 20
"""An edit is told after this long without another one, ..."""
LONGEST_MS: Final = 60
"""... and after this long at the latest."""


async def edits(files: Sequence[Path], stop: asyncio.Event) -> AsyncIterator[tuple[str, ...]]:
    """The names of the files of which something changed, as it happens, until `stop` is set."""
    folders = {file.parent for file in files if file.parent.is_dir()}
    if not folders:
        return
    names = {str(file) for file in files}
    # Rust's side looks at the stop event only every `rust_timeout`.
    async for changes in awatch(
        *folders,
        watch_filter=lambda _, path: path in names,
        recursive=False,
        debounce=LONGEST_MS,
        step=QUIET_MS,
        rust_timeout=500,
        stop_event=stop,
    ):
        yield tuple(sorted({path for _, path in changes}))
