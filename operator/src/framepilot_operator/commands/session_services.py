"""What the running `framepilot up` processes have declared, with the status that was last reported of it.

A session keeps them in its state folder, one file each, written whole: any other process may read them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from framepilot.resources.runtime import InferenceRuntime
from framepilot.resources.service import InferenceService
from framepilot_operator.cluster.records import read_declared
from framepilot_operator.cluster.registry import R
from framepilot_operator.commands.service_view import Json
from framepilot_operator.running import Running

POLL_S: Final = 0.5


def read_sessions(processes: Sequence[Running]) -> dict[str, Json]:
    """The services by `<namespace>/<name>`; of one that two processes have, that of the first."""
    return _read(processes, "services", InferenceService)


def read_runtimes(processes: Sequence[Running]) -> dict[str, Json]:
    """The runtimes; the same."""
    return _read(processes, "runtimes", InferenceRuntime)


async def follow_sessions(processes: Callable[[], Sequence[Running]]) -> AsyncGenerator[dict[str, Json], None]:
    """The services as they are, and again after every change, until no process runs any more."""
    before: dict[str, Json] | None = None
    while living := processes():
        found = read_sessions(living)
        if found != before:
            yield found
        before = found
        await asyncio.sleep(POLL_S)


def _read(processes: Sequence[Running], folder: str, kind: type[R]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for process in processes:
        for key, record in read_declared(process.state / folder, kind).items():
            found.setdefault(key, record.resource.model_dump(mode="json", by_alias=True, exclude_none=True))
    return found
