"""Time-lines of some scenarios: what happens to the device, the batch that each rule has then, and who is in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks import plots
from benchmarks.tuner_runs import CLIPPER, TUNER, played
from benchmarks.tuner_scenarios import PROFILES, SCENARIOS, START, STEP_S, Profile, Scenario

SHOWN: Final = ("burst", "noisy neighbour", "slower model")
DEVICE: Final = PROFILES[-1]
SPAN_S: Final = 3
"""Attainment and load are of so many seconds."""

Points = Sequence[tuple[float, float]]


def time_lines(best: dict[str, int], seed: int) -> str:
    """Markdown that shows the scenarios on one device; `best`: the best fixed size of each of them."""
    shown = [each for each in SCENARIOS if each.name in SHOWN]
    return "\n\n".join(_time_line(each, best[each.name], seed) for each in shown)


def _time_line(scenario: Scenario, best: int, seed: int) -> str:
    sizes: dict[str, Points] = {}
    attained: dict[str, Points] = {}
    load: Points = ()
    for rule, title in ((TUNER, TUNER), (str(best), f"best fixed, {best}"), (CLIPPER, CLIPPER)):
        sizes[title], attained[title], load = _followed(DEVICE, scenario, rule, seed)
    times = [(at, scenario.slow(at) * (scenario.swapped if at >= STEP_S else 1)) for at, _ in load]
    panels = {
        f"{scenario.name}, {DEVICE.name}: load; times as long as alone": {
            "items that come / the most that it can serve": load,
            "how long batches take / alone, at first": _steps(times),
        },
        "the most items of a batch": sizes,
        f"share of the items of {SPAN_S} s within the objective": attained,
    }
    name = f"tuner-{scenario.name.replace(' ', '-')}"
    return plots.lines(name, panels, ("seconds", ("times", "items", "share")))


def _followed(profile: Profile, scenario: Scenario, rule: str, seed: int) -> tuple[Points, Points, Points]:
    """Size, attainment and load of each second."""
    sizes, in_time, came = [], [(0, 0)], [0]
    for device in played(profile, scenario, rule, seed):
        sizes.append((device.now - START, float(device.told.size)))
        new = device.latencies_s[in_time[-1][1] :]
        good = sum(latency <= profile.objective_ms / 1000 for latency in new)
        in_time.append((in_time[-1][0] + good, len(device.latencies_s)))
        came.append(device.frames)
    attained, load = [], []
    for second in range(SPAN_S, len(came)):
        (good, every), (good_before, before) = in_time[second], in_time[second - SPAN_S]
        attained.append((float(second), (good - good_before) / max(every - before, 1)))
        load.append((float(second), (came[second] - came[second - SPAN_S]) / SPAN_S / profile.most_per_s))
    return _steps(sizes), attained, load


def _steps(points: Points) -> Points:
    """What holds until it changes: the corners only."""
    corners = [points[0]]
    for at, value in points[1:]:
        if value != corners[-1][1]:
            corners += [(at, corners[-1][1]), (at, value)]
    return [*corners, (points[-1][0], corners[-1][1])]
