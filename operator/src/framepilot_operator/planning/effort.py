"""How much a search may do: counted in steps, so that the same workload gives the same plan on every machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Effort:
    """Steps that are left; none are once the time is up."""

    steps: int
    out_of_time: Callable[[], bool]

    def spend(self, steps: int) -> bool:
        """Takes steps for what comes next; False, and nothing should come, if there are none left."""
        if self.steps <= 0 or self.out_of_time():
            return False
        self.steps -= steps
        return True
