"""When requests arrive: cameras, at random, in bursts, or as recorded. Ascending seconds from 0, `seconds` long."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

CAMERA_FPS: Final = 10.0
JITTER: Final = 0.05
"""By how much of its period a frame is early or late: standard deviation."""
BURST: Final = 2.0
"""In a burst, requests arrive this many times as fast as on average."""
BURST_S: Final = 0.5

Arrivals = Callable[[float, float, Random], Sequence[float]]
"""From a rate per second, a duration in seconds and a random source to times."""


def cameras(rate: float, seconds: float, random: Random) -> list[float]:
    """As many cameras as make up the rate, each frame a little early or late.

    Their phases are spread evenly: it is the load that a plan is made for.
    """
    count = max(round(rate / CAMERA_FPS), 1)
    period = count / rate
    deviation = JITTER * period / count
    times = (
        (frame + camera / count) * period + random.gauss(0, deviation)
        for frame in range(math.ceil(seconds / period) + 1)
        for camera in range(count)
    )
    return sorted(time for time in times if 0 <= time < seconds)


def unsynchronised_cameras(rate: float, seconds: float, random: Random) -> list[float]:
    """The same cameras with phases as chance has them: some fall together, and do so in every period."""
    count = max(round(rate / CAMERA_FPS), 1)
    period = count / rate
    phases = [random.random() for _ in range(count)]
    times = ((frame + phase) * period for frame in range(math.ceil(seconds / period) + 1) for phase in phases)
    return sorted(time for time in times if time < seconds)


def poisson(rate: float, seconds: float, random: Random) -> list[float]:
    """Independent of each other."""
    times: list[float] = []
    now = random.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += random.expovariate(rate)
    return times


def bursty(rate: float, seconds: float, random: Random) -> list[float]:
    """Poisson, `BURST` times as fast for a while and silent for a while; both take `BURST_S` on average."""
    times: list[float] = []
    now, until = 0.0, 0.0
    while now < seconds:
        until = now + random.expovariate(1 / BURST_S)
        now += random.expovariate(rate * BURST)
        while now < until:
            times.append(now)
            now += random.expovariate(rate * BURST)
        now = until + random.expovariate(1 / (BURST_S * (BURST - 1)))
    return times[: bisect_left(times, seconds)]


def recorded(times: Sequence[float]) -> Arrivals:
    """What was recorded, over and over, stretched to the rate that is asked for.

    Raises:
        ValueError: fewer than two times, or all at the same moment.
    """
    ordered = sorted(times)
    if len(ordered) < 2 or ordered[-1] <= ordered[0]:
        raise ValueError("a recording needs at least two different times of arrival")
    # The gap after the last is the mean one, so that the recording can follow itself.
    length = (ordered[-1] - ordered[0]) * len(ordered) / (len(ordered) - 1)

    def replay(rate: float, seconds: float, _random: Random) -> list[float]:
        stretch = len(ordered) / rate / length
        rounds = math.ceil(seconds / (length * stretch))
        every = ((each - ordered[0] + turn * length) * stretch for turn in range(rounds) for each in ordered)
        return [time for time in every if time < seconds]

    return replay
