"""The services of the running `framepilot up` processes, with the status that was last reported of them.

A session keeps them in its state folder, one file each, written whole: any other process may read them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from framepilot.resources.service import InferenceService
from framepilot_operator.cluster.records import read_declared
from framepilot_operator.commands.service_view import Json
from framepilot_operator.running import Running

POLL_S: Final = 0.5


def read_sessions(processes: Sequence[Running]) -> dict[str, Json]:
    """The services by `<namespace>/<name>`; of one that two processes have, that of the first."""
    found: dict[str, Json] = {}
    for process in processes:
        for key, record in read_declared(process.state / "services", InferenceService).items():
            found.setdefault(key, record.resource.model_dump(mode="json", by_alias=True, exclude_none=True))
    return found


async def follow_sessions(processes: Callable[[], Sequence[Running]]) -> AsyncGenerator[dict[str, Json], None]:
    """The services as they are, and again after every change, until no process runs any more."""
    before: dict[str, Json] | None = None
    while living := processes():
        found = read_sessions(living)
        if found != before:
            yield found
        before = found
        await asyncio.sleep(POLL_S)
