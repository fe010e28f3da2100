"""Reads `/status` of an instance over HTTP."""

from __future__ import annotations

import aiohttp

from framepilot.contract.document import DocumentError
from framepilot.contract.observed import ObservedState


class StatusError(Exception):
    """An instance did not say what it does: which address, what happened."""


class StatusClient:
    """One HTTP session for all instances. Create and use it in one event loop, and close it."""

    def __init__(self, timeout_s: float) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s))
        self._timeout_s = timeout_s

    async def fetch(self, address: str) -> ObservedState:
        """What the instance at `HOST:PORT` says of itself.

        Raises:
            StatusError: no answer in time, not 200, or not an observed state.
        """
        url = f"http://{address}/status"
        try:
            async with self._session.get(url) as response:
                response.raise_for_status()
                body = await response.read()
            return ObservedState.parse(body)
        except TimeoutError as error:
            raise StatusError(f"{url}: no answer within {self._timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            raise StatusError(f"{url}: {error}") from error
        except DocumentError as error:
            raise StatusError(f"{url}: {error}") from error

    async def close(self) -> None:
        """Give the connections back."""
        await self._session.close()
