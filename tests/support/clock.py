"""A clock that tests set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Seconds; each look takes `look_s` of them."""

    now: float = 0.0
    look_s: float = 0.0

    def __call__(self) -> float:
        self.now += self.look_s
        return self.now
