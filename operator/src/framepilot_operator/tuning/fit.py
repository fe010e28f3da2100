"""How long a module's batches take now, beside how long they took when its version was loaded.

It is the profile times a factor for each size. Sums of durations are forgotten exponentially, so the factor follows
what drifts. A window far from what is believed, a hiccup of the machine, does not count, unless the one after it says
the same: then all that came before is forgotten at once, for the device is another one from now on. So a step is known
after two windows, and noise moves nothing.

Two states are kept apart. *Free* is how fast the device is by itself: the profile, or slowly corrected. *Contended* is
above it: something else uses the device. When it goes away, what held before holds again, and need not be learned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.tuning.counters import BatchCounters, Batches

HALF_LIFE_S: Final = 10.0
FREE_HALF_LIFE_S: Final = 120.0
WINDOW_S: Final = 0.9
"""A window is at least so long,"""
WINDOW_BATCHES: Final = 3
"""and has so many batches, or is"""
LONGEST_WINDOW_S: Final = 5.0
"""so long."""
FAR: Final = 1.3
"""A window whose batches took so many times as long as is believed, or as short, is far."""
CONTENDED: Final = 1.15
"""So much above the free state is contended,"""
FREE: Final = 1.08
"""and so little above it is free again."""
MOVED: Final = 1.15
"""A factor that differs by so much from the one that plans are made with takes its place."""
LIKE_OTHERS: Final = 3.0
"""A size of which only so many batches ran is taken to be half like the others."""
FORGOTTEN: Final = 0.5
"""A size with fewer batches left than this, after forgetting, is not known any more."""

STEPS: Final = (1.5, 2, 3, 5, 10, 20, 50, 100)
"""How many times as long, as people are told."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Batches of one size, forgotten exponentially."""

    count: float
    seconds: float

    def and_(self, kept: float, more: Batches) -> Sum:
        """With more batches, of which those before are kept in part."""
        return Sum(self.count * kept + more.count, self.seconds * kept + more.seconds)


@dataclass(frozen=True, slots=True)
class Fit:
    """What is known of one version in one process.

    `since`: the counters at which the open window began. `believed`: by size, the factors that plans are made with;
    none: what was measured at its load holds. `free`: the factor of the free state. `strayed`: how far the last window
    was off, if it did not count. `windows`: how many counted. `shared`: whether, when it became contended, it was known
    that something else uses the device.
    """

    since: BatchCounters
    sums: Mapping[int, Sum] = field(default_factory=dict)
    believed: Mapping[int, float] = field(default_factory=dict)
    free: float = 1.0
    contended: bool = False
    strayed: float | None = None
    windows: int = 0
    shared: bool = False


def followed(fit: Fit | None, counters: BatchCounters, profile: ModuleProfile, *, shared: bool = False) -> Fit:
    """The fit after another look; `shared`: it is known from elsewhere that something else uses the device."""
    if fit is None or not counters.continues(fit.since):
        return Fit(counters)
    window, seconds = counters.since(fit.since), counters.at - fit.since.at
    batches = sum(each.count for each in window.values())
    if seconds < WINDOW_S or not batches or (batches < WINDOW_BATCHES and seconds < LONGEST_WINDOW_S):
        return fit
    off = _off(fit, window, profile)
    far = not 1 / FAR < off < FAR
    again = fit.strayed is not None and (fit.strayed > 1) == (off > 1)
    # Who is known to have company is believed to be slower at once.
    if far and fit.windows and not again and not (shared and off > 1):
        return replace(fit, since=counters, strayed=off)
    kept = 0.0 if far else 0.5 ** (seconds / HALF_LIFE_S)
    sizes = fit.sums.keys() | window.keys()
    none = Batches(0, 0.0)
    sums = {size: fit.sums.get(size, Sum(0, 0)).and_(kept, window.get(size, none)) for size in sizes}
    counted = {size: each for size, each in sums.items() if each.count >= FORGOTTEN}
    counting = replace(fit, since=counters, sums=counted, strayed=None, windows=fit.windows + 1)
    return _settled(counting, profile, seconds, shared=shared)


def factor(factors: Mapping[int, float], size: int) -> float:
    """That of a size, or of the nearest one that is known; 1 where none is."""
    if not factors:
        return 1.0
    return factors[min(factors, key=lambda known: (abs(math.log(known / size)), known))]


def measured(sums: Mapping[int, Sum], profile: ModuleProfile) -> dict[int, float]:
    """By size, how many times as long as measured at its load its batches take: within the range of what was seen."""
    if not sums:
        return {}
    whole = _ratio(sums, profile)
    return {
        size: (each.seconds + LIKE_OTHERS * whole * _seconds(profile, size))
        / ((each.count + LIKE_OTHERS) * _seconds(profile, size))
        for size, each in sums.items()
    }


def finding(fit: Fit | None, size: int) -> str | None:
    """What there is to say of batches of this size, for people: empty where nothing is; None: not known yet.

    It is said in steps, so that a status is not written for every little change of a busy machine.
    """
    if fit is None or not fit.windows:
        return None
    times = factor(fit.believed, size) / (fit.free if fit.contended else 1.0)
    if times <= 1 / STEPS[0]:
        return "batches take much less time than was measured at loading"
    step = max((step for step in STEPS if step <= times), default=None)
    if step is None:
        return ""
    if not fit.contended:
        return f"batches take over {step:g} times as long as was measured at loading"
    why = "; something else uses the device" if fit.shared else ""
    return f"batches take over {step:g} times as long as alone on the device{why}"


def scaled(profile: ModuleProfile, factors: Mapping[int, float]) -> ModuleProfile:
    """The profile as it holds with these factors."""
    if not factors:
        return profile
    sizes = sorted({size for size, _ in profile.typical.points} | {size for size in factors if size <= profile.largest})
    return ModuleProfile(
        typical=type(profile.typical).measured(
            (size, profile.typical.seconds(size) * factor(factors, size)) for size in sizes
        ),
        tail=type(profile.tail).measured((size, profile.tail.seconds(size) * factor(factors, size)) for size in sizes),
        largest=profile.largest,
    )


def _off(fit: Fit, window: Mapping[int, Batches], profile: ModuleProfile) -> float:
    """How many times as long as is known by now the batches of a window took."""
    known = measured(fit.sums, profile) or fit.believed
    expected_s = sum(
        each.count * _seconds(profile, size) * (factor(known, size) if known else fit.free)
        for size, each in window.items()
    )
    return sum(each.seconds for each in window.values()) / expected_s


def _settled(fit: Fit, profile: ModuleProfile, seconds: float, *, shared: bool) -> Fit:
    """The states, and what plans are made with, after a window that counted."""
    now, level = measured(fit.sums, profile), _ratio(fit.sums, profile)
    contended = level > (FREE if fit.contended else CONTENDED) * fit.free
    free = fit.free
    if not contended:
        pace = 1.0 if level < free / CONTENDED else 1 - 0.5 ** (seconds / FREE_HALF_LIFE_S)
        free += pace * (level - free)
    believed = fit.believed
    if contended:
        if not fit.contended or any(_moved(each, factor(believed, size)) for size, each in now.items()):
            believed, fit = now, replace(fit, shared=shared)
    elif _moved(free, _level(believed)) or fit.contended:
        believed = {profile.largest: free} if _moved(free, 1.0) else {}
    return replace(fit, free=free, contended=contended, believed=believed)


def _moved(now: float, before: float) -> bool:
    return not 1 / MOVED < now / before < MOVED


def _level(believed: Mapping[int, float]) -> float:
    return next(iter(believed.values()), 1.0)


def _ratio(sums: Mapping[int, Sum], profile: ModuleProfile) -> float:
    expected_s = sum(each.count * _seconds(profile, size) for size, each in sums.items())
    return sum(each.seconds for each in sums.values()) / expected_s


def _seconds(profile: ModuleProfile, size: int) -> float:
    # A profile may say 0 ms.
    return max(profile.typical.seconds(size), 1e-6)
