"""Versions of a module of which one item alone takes longer than a batch of its service may hold the device.

They are not refused for good, as the limit may be raised. What was measured is remembered, so that it is not loaded
every half a minute to find the same; but not for ever, as it may have been the machine that was slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from framepilot.contract.desired import Engine
from framepilot_app.models.model import UnavailableError
from framepilot_app.modules.lane import Version
from framepilot_app.modules.module import Module
from framepilot_app.modules.time_limit import in_ms

REMEMBERED_S: Final = 600.0
"""After so long it is loaded and measured anew."""


@dataclass(frozen=True, slots=True)
class _Measured:
    seconds: float
    at: float


class SlowVersions:
    """Those of one module."""

    def __init__(self, module: Module, clock: Callable[[], float] = time.monotonic) -> None:
        self._module = module
        self._clock = clock
        self._measured: dict[tuple[str, Engine], _Measured] = {}

    def check_known(self, which: str, sha256: str, engine: Engine) -> None:
        """Before it is loaded.

        Raises:
            UnavailableError: lately it was measured to take too long; it is tried again, as the limit may change.
        """
        known = self._measured.get((sha256, engine))
        if known is not None and self._clock() < known.at + REMEMBERED_S:
            self._check(which, known.seconds)

    def check(self, version: Version) -> None:
        """When it has been measured.

        Raises:
            UnavailableError: it takes too long; it is tried again, as the limit may change.
        """
        seconds = next(point.p50_ms for point in version.profile if point.batch == 1) / 1000
        self._measured[version.sha256, version.asked] = _Measured(seconds, self._clock())
        self._check(f"{version.spec.name} {version.spec.version}", seconds)

    def _check(self, which: str, seconds: float) -> None:
        limit_s = self._module.time_limit_s
        if seconds > limit_s:
            raise UnavailableError(
                which,
                f"one item alone takes {in_ms(seconds)}: more than the {in_ms(limit_s)} of "
                "placement.timeLimit; raise the limit, or choose a faster model",
            )
