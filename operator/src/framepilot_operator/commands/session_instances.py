"""Looks at the instances of the running `framepilot up` processes: each is asked what it does.

Such a process has a folder for each instance, in which the instance keeps the address that it listens on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from framepilot.contract.observed import ObservedState
from framepilot_operator.commands.instance_look import Look
from framepilot_operator.running import Running
from framepilot_operator.telemetry.status_client import StatusClient, StatusError

TIMEOUT_S: Final = 2.0
STARTING: Final = "it is starting"


async def look_at_sessions(processes: Callable[[], Sequence[Running]], every_s: float) -> AsyncGenerator[Look, None]:
    """A look at all instances now, and again every few seconds, until no process runs any more."""
    client = StatusClient(TIMEOUT_S)
    try:
        while living := processes():
            yield await _look(client, _addresses(living))
            await asyncio.sleep(every_s)
    finally:
        await client.close()


def _addresses(processes: Sequence[Running]) -> dict[str, str | None]:
    """`HOST:PORT` of each instance, None of one that does not listen yet."""
    found: dict[str, str | None] = {}
    for process in processes:
        for folder in sorted(process.state.glob("instances/*")):
            try:
                found[folder.name] = (folder / "cache" / "listen").read_text(encoding="utf-8").strip() or None
            except FileNotFoundError:
                found[folder.name] = None
    return found


async def _look(client: StatusClient, addresses: dict[str, str | None]) -> Look:
    names = [name for name, address in addresses.items() if address is not None]
    answers = await asyncio.gather(*(_ask(client, addresses[name] or "") for name in names))
    silent = {name: STARTING for name, address in addresses.items() if address is None}
    states: dict[str, ObservedState] = {}
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, str):
            silent[name] = answer
        else:
            states[name] = answer
    return Look(time.monotonic(), states, silent)


async def _ask(client: StatusClient, address: str) -> ObservedState | str:
    try:
        return await client.fetch(address)
    except StatusError as error:
        return str(error)
