"""What happens to a device while the tuner is compared: how many items come, and how long its batches take.

Load is in shares of the most that the device can serve, so the same scenario means the same on every device. Items come
at random (Poisson, of a rate that changes), as they do of many cameras that know nothing of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import pi, sin
from random import Random
from typing import Final

from framepilot.scheduling.latency import LatencyModel
from support.gpu_latencies import BATCH_MS

START: Final = 1000.0
"""The clock of a simulated device when it begins."""
LENGTH_S: Final = 90.0
STEP_S: Final = 30.0
"""When what happens at one moment happens."""
OBJECTIVE_CYCLES: Final = 4.0
"""The objective is as many times what the largest batch takes that is worth its time."""


@dataclass(frozen=True)
class Profile:
    """Milliseconds of a batch by its size, and where they are from."""

    name: str
    source: str
    batch_ms: Mapping[int, float]

    @property
    def largest(self) -> int:
        return max(self.batch_ms)

    @cached_property
    def model(self) -> LatencyModel:
        return LatencyModel.measured(self.batch_ms.items())

    def ms(self, size: int) -> float:
        return self.model.seconds(size)

    @cached_property
    def most_per_s(self) -> float:
        """Items that it can serve in a second."""
        return max(size / self.ms(size) for size in self.batch_ms) * 1000

    @property
    def objective_ms(self) -> int:
        return round(OBJECTIVE_CYCLES * self.ms(8))


PROFILES: Final = (
    Profile(
        "embedder, a CPU core",
        "the sample model on ONNX Runtime, as on [the page of engines](engines.md#figures)",
        {1: 4.56, 4: 8.92, 16: 37.29},
    ),
    Profile(
        "EfficientDet-D1, a V100",
        "Kong et al., PPipe (USENIX ATC 2025), as in `tests/support/gpu_latencies.py`",
        dict(enumerate(BATCH_MS["efficientdet-d1"]["v100"], start=1)),
    ),
)


def _always(value: float) -> Callable[[float], float]:
    return lambda _: value


ALONE: Final = _always(1.0)


@dataclass(frozen=True)
class Scenario:
    """Seconds since its start: `load` that comes, `slow` how many times as long as alone batches take.

    From `STEP_S` on a version serves that takes `swapped` times as long. `step`: whether something changes at once
    then.
    """

    name: str
    load: Callable[[float], float]
    slow: Callable[[float], float] = ALONE
    swapped: float = 1.0
    step: bool = False

    @property
    def slowest(self) -> float:
        """How many times as long batches take at most."""
        return self.swapped * max(self.slow(float(second)) for second in range(int(LENGTH_S)))

    def arrivals(self, profile: Profile, random: Random) -> Iterator[float]:
        """Clock times of the items."""
        most = max(self.load(second / 4) for second in range(int(LENGTH_S * 4))) * profile.most_per_s
        now, load_of_one = 0.0, 1 / profile.most_per_s
        while now < LENGTH_S:
            now += random.expovariate(most)
            if random.random() * most * load_of_one < self.load(now):
                yield START + now


def _after(step: float, before: float, then: float, until: float = LENGTH_S) -> Callable[[float], float]:
    return lambda at: then if step <= at < until else before


SCENARIOS: Final = (
    Scenario("steady", _always(0.55)),
    Scenario("load step", _after(STEP_S, 0.12, 0.65), step=True),
    Scenario("ramp", lambda at: 0.1 + 0.6 * at / LENGTH_S),
    Scenario("burst", lambda at: 0.6 if at % 10 < 3 else 0.15),
    Scenario("day curve", lambda at: 0.4 - 0.3 * sin(2 * pi * at / LENGTH_S + pi / 2)),
    Scenario("noisy neighbour", _always(0.3), _after(STEP_S, 1.0, 2.0, 2 * STEP_S), step=True),
    Scenario("slower model", _always(0.3), swapped=2.0, step=True),
)
