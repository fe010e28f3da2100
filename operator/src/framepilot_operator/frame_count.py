"""Counts the frames of video files in a process of the app's own interpreter, which has what decodes them.

Counting happens after the run, so that it takes nothing from it, and apart from the pipeline, so that it is a witness.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

_log = logging.getLogger(__name__)


async def count_frames(sources: Iterable[str], app: Path) -> dict[str, int]:
    """Frames of each `file://` source; one that cannot be counted is left out, and the log says why."""
    interpreter = interpreter_of(app)
    counts: dict[str, int] = {}
    for source in sorted(sources):
        path = unquote(urlsplit(source).path)
        process = await asyncio.create_subprocess_exec(
            *interpreter, "-m", "framepilot_app.streams.count", path, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate()
        if process.returncode == 0:
            counts[source] = int(json.loads(out)[path])
        else:
            _log.warning("the frames of %s could not be counted: %s", source, err.decode(errors="replace").strip())
    return counts


def interpreter_of(script: Path) -> tuple[str, ...]:
    """The command in the first line of a script; the running interpreter if it has none."""
    try:
        with script.open("rb") as file:
            first = file.readline(4096)
    except OSError:
        return (sys.executable,)
    return tuple(shlex.split(first[2:].decode())) if first.startswith(b"#!/") else (sys.executable,)
