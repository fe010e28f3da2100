"""What computing something anew costs, and what keeping it for others costs: the ground on which stages are cut. Pure.

Seconds of a batch: a kernel takes the time of its arithmetic and of the memory that it reads and writes; a value that
several stages take is written once more and read once by each of them; and every stage is one more call. What memory
parameters take does not count, as they exist once wherever their kernels run (`models/parameters.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from framepilot_app.graphs.identity import Step


@dataclass(frozen=True, slots=True)
class CostModel:
    """Speeds of a device, and the batch size to think of; `measured` are seconds of a batch by identity, if known."""

    flops_per_s: float = 5e10
    bytes_per_s: float = 1e10
    call_s: float = 2e-5
    batch: int = 4
    measured: Mapping[str, float] = field(default_factory=dict)

    def seconds(self, step: Step) -> float:
        """How long a kernel takes."""
        known = self.measured.get(step.identity)
        if known is not None:
            return known
        moved = self.batch * (step.nbytes + step.read_bytes) + step.parameter_bytes
        return self.batch * step.flops / self.flops_per_s + moved / self.bytes_per_s

    def keep_seconds(self, nbytes: int, takers: int) -> float:
        """What it costs to keep a value of so many bytes for each item until all of the stages have taken it."""
        return self.batch * nbytes * (1 + takers) / self.bytes_per_s
