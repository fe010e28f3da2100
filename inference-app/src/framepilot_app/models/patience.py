"""How long a fetch may take, and whether it is still wanted: asked by whatever waits while it is fetched."""

from __future__ import annotations

import time
from collections.abc import Callable

from framepilot_app.models.model import ModelError, UnavailableError

POLL_S = 0.1
"""How long a wait goes on without asking whether it is still wanted."""


class Patience:
    """One fetch's. `which` names the model in errors; `given_up` may become true at any time, on any thread."""

    def __init__(
        self,
        which: str,
        limit_s: float,
        given_up: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._which = which
        self._limit_s = limit_s
        self._given_up = given_up
        self._clock = clock
        self._sleep = sleep
        self._until = clock() + limit_s

    @property
    def over(self) -> bool:
        """Whether to stop."""
        return self._given_up() or self._clock() >= self._until

    def check(self, during: str) -> None:
        """Nothing, while it is not over.

        Raises:
            ModelError: it is no longer wanted; `during` says what went on.
            UnavailableError: it took too long.
        """
        if self._given_up():
            raise ModelError(self._which, f"no longer wanted, while {during}")
        if self.over:
            raise UnavailableError(
                self._which,
                f"not here after {self._limit_s:.0f} s, while {during}; the store is too slow for a model of this size",
            )

    def pause(self, seconds: float) -> None:
        """Wait, and no longer than until it is over."""
        end = self._clock() + seconds
        while not self.over and (left := end - self._clock()) > 0:
            self._sleep(min(left, POLL_S))
