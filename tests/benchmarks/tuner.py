"""`python -m benchmarks.tuner` (with tests/ in PYTHONPATH): the tuner against every fixed batch and other rules.

In simulated time, with the batcher, the planner and the tuner as they are. Rewrites what follows the marker in
docs/tuning.md, and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from statistics import mean

from benchmarks import plots
from benchmarks.page import up_to, write
from benchmarks.result import Gate, Result, told
from benchmarks.tuner_plots import DEVICE, time_lines
from benchmarks.tuner_runs import CLIPPER, REGRESSION, THEN, TUNER, Run, fixed, run, simulated
from benchmarks.tuner_scenarios import LENGTH_S, PROFILES, SCENARIOS, STEP_S, Profile, Scenario
from framepilot.scheduling.latency import batch_sizes

PAGE = Path(__file__).parents[2] / "docs" / "tuning.md"
MARKER = "<!-- What follows is written by make bench-tuner. -->"
ATTAINMENT = 0.99
"""The declared share of frames that shall be in time."""
SEEDS = 8
FIRST_SEED = 100
"""Seeds below it are for tuning the tuner, so that nothing here is what it was made for."""
FOLLOWED_S = 30.0
"""Changes so long after a step are taken to be because of it."""


Runs = Mapping[tuple[str, str, str], Sequence[Run]]
"""By profile, scenario and rule: one for each seed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="the first one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="simulations side by side")
    given = parser.parse_args()
    runs = _runs(range(given.seed, given.seed + given.seeds), given.jobs)
    result = _result(runs, given.seed)
    command = f"In simulated time: `python -m benchmarks.tuner --seeds {given.seeds} --seed {given.seed}`."
    write(PAGE, up_to(MARKER, PAGE), command, [result])
    return told([result])


def _runs(seeds: Sequence[int], jobs: int) -> Runs:
    asked = [
        (at_profile, at_scenario, rule, seed)
        for at_profile, at_scenario in product(range(len(PROFILES)), range(len(SCENARIOS)))
        for rule in _rules(PROFILES[at_profile], SCENARIOS[at_scenario])
        for seed in seeds
    ]
    runs: dict[tuple[str, str, str], list[Run]] = {}
    with ProcessPoolExecutor(jobs) as pool:
        for (at_profile, at_scenario, rule, _), run in zip(asked, pool.map(_run, asked, chunksize=4), strict=True):
            runs.setdefault((PROFILES[at_profile].name, SCENARIOS[at_scenario].name, rule), []).append(run)
    return runs


def _run(asked: tuple[int, int, str, int]) -> Run:
    at_profile, at_scenario, rule, seed = asked
    return run(PROFILES[at_profile], SCENARIOS[at_scenario], rule, seed)


def _rules(profile: Profile, scenario: Scenario) -> list[str]:
    return [TUNER, CLIPPER, REGRESSION, *map(str, range(1, profile.largest + 1)), *_pairs(profile, scenario)]


def _pairs(profile: Profile, scenario: Scenario) -> list[str]:
    """Two sizes for the two states of the device, with which the planner can hold the objective; of those that run."""
    if scenario.slowest == 1:
        return []
    device, sizes = simulated(profile, scenario, 0), batch_sizes(profile.largest)
    held = [[size for size in sizes if fixed(device, size, times).feasible] for times in (1.0, scenario.slowest)]
    return [f"{alone}{THEN}{slower}" for alone, slower in product(*held)]


def _best_fixed(runs: Runs, profile: Profile, scenario: Scenario) -> int:
    """Of the sizes that attain what is declared, the one with the least device time; else that which attains most."""
    sizes = {size: runs[profile.name, scenario.name, str(size)] for size in range(1, profile.largest + 1)}
    enough = [size for size, some in sizes.items() if _attainment(some) >= ATTAINMENT]
    if enough:
        return min(enough, key=lambda size: _device_ms(sizes[size]))
    return max(sizes, key=lambda size: _attainment(sizes[size]))


def _least_promised(runs: Runs, profile: Profile, scenario: Scenario) -> tuple[str, float] | None:
    """The two sizes that take the least device time, and that; None where batches take what they take alone."""
    pairs = {pair: _device_ms(runs[profile.name, scenario.name, pair]) for pair in _pairs(profile, scenario)}
    return min(pairs.items(), key=lambda each: each[1], default=None)


def _attainment(runs: Sequence[Run]) -> float:
    return mean(run.attainment for run in runs)


def _device_ms(runs: Sequence[Run]) -> float:
    return mean(run.device_ms for run in runs)


def _followed(runs: Sequence[Run]) -> tuple[float, int]:
    """After the step: the most seconds until the last change that followed it, and the most changes."""
    after = [[at - STEP_S for at, _ in run.changes if 0 <= at - STEP_S < FOLLOWED_S] for run in runs]
    return max((each[-1] for each in after if each), default=0.0), max(map(len, after))


def _result(runs: Runs, first_seed: int) -> Result:
    rules = ("1", TUNER, CLIPPER, REGRESSION)
    rows = [
        [
            "device",
            "scenario",
            "best fixed",
            "attainment: best fixed",
            *(_title(rule) for rule in rules),
            "device time / best fixed's: fixed 1",
            *rules[1:],
            "least that keeps the promise",
            "changes",
            "after the step",
        ]
    ]
    lacking: list[float] = []
    dearer: list[float] = []
    beyond: list[float] = []
    slowest_s, most_changes = 0.0, 0
    for profile, scenario in product(PROFILES, SCENARIOS):
        best = _best_fixed(runs, profile, scenario)
        of = {rule: runs[profile.name, scenario.name, rule] for rule in (*rules, str(best))}
        attained, device_ms = _attainment(of[str(best)]), _device_ms(of[str(best)])
        lacking.append(attained - _attainment(of[TUNER]))
        dearer.append(_device_ms(of[TUNER]) / device_ms)
        least, promised = "", _least_promised(runs, profile, scenario)
        if promised is not None:
            least = f"{promised[1] / device_ms:.3f} ({promised[0]})"
            beyond.append(_device_ms(of[TUNER]) / promised[1])
        followed = ""
        if scenario.step:
            seconds, changes = _followed(of[TUNER])
            slowest_s, most_changes = max(slowest_s, seconds), max(most_changes, changes)
            followed = f"{seconds:.1f} s, {changes}"
        rows.append(
            [
                profile.name,
                scenario.name,
                str(best),
                f"{attained:.2%}",
                *(f"{_attainment(of[rule]):.2%}" for rule in rules),
                *(f"{_device_ms(of[rule]) / device_ms:.2f}" for rule in rules),
                least,
                f"{mean(len(run.changes) for run in of[TUNER]):.1f}",
                followed,
            ]
        )
    figures = {
        "tuner_attainment_below_best_fixed": max(lacking),
        "tuner_device_time_to_best_fixed_most": max(dearer),
        "tuner_device_time_to_best_fixed_mean": math.exp(mean(map(math.log, dearer))),
        "tuner_device_time_to_least_that_keeps_the_promise_most": max(beyond),
        "tuner_step_seconds": slowest_s,
        "tuner_step_changes": most_changes,
    }
    gates = [
        Gate("attainment below the best fixed batch's, most", figures["tuner_attainment_below_best_fixed"], 0, False),
        Gate("device time to the best fixed's, most", figures["tuner_device_time_to_best_fixed_most"], 1.05, False),
        Gate("seconds from a step to the last change that followed", slowest_s, 10, False),
        Gate("changes that followed a step", most_changes, 2, False),
    ]
    return Result("Against fixed batches and other rules", _method(), rows, figures, gates, _plots(runs, first_seed))


def _title(rule: str) -> str:
    return "fixed 1" if rule == "1" else rule


def _method() -> str:
    devices = "; ".join(
        f"{profile.name}: {profile.source}, up to {profile.largest}, objective {profile.objective_ms} ms"
        for profile in PROFILES
    )
    return (
        f"{LENGTH_S:g} simulated seconds each, items at random; the tuner looks once a second, and what it decides is "
        "in force at once. Attainment is the share of items done within the objective, device time that of an item; "
        "both are means over the seeds. The best fixed batch is looked for among all sizes, each with the "
        f"wait that the planner gives it: of those that attain {ATTAINMENT:.0%} the one with the least device time. "
        "The tuner knows no rate at first and begins with the profile; changes are of batch or wait. "
        "`least that keeps the promise`: the least device time to the best fixed batch's, whatever it attains, of all "
        "pairs of sizes that the app runs: one for each speed of the device, with the wait with which the planner can "
        "promise the objective at that speed, changed at the very moment. "
        "`after the step`: the most seconds to the last change that followed what happened at one moment, and how many "
        f"changes there were; none where what ran was still right. Rules: `tests/benchmarks/batch_rules.py`. "
        f"Devices: {devices}."
    )


def _plots(runs: Runs, seed: int) -> str:
    best = {scenario.name: _best_fixed(runs, DEVICE, scenario) for scenario in SCENARIOS}
    return f"{_plot(runs)}\n\n{time_lines(best, seed)}"


def _plot(runs: Runs) -> str:
    """Device time by scenario, on every device."""
    series = {}
    for rule in (TUNER, CLIPPER, REGRESSION, "1"):
        ratios = []
        for profile, scenario in product(PROFILES, SCENARIOS):
            best = runs[profile.name, scenario.name, str(_best_fixed(runs, profile, scenario))]
            ratios.append(_device_ms(runs[profile.name, scenario.name, rule]) / _device_ms(best))
        series[_title(rule)] = ratios
    names = [f"{scenario.name}\n{profile.name.split(',')[0]}" for profile, scenario in product(PROFILES, SCENARIOS)]
    return plots.bars("tuner-device-time", names, series, "device time / best fixed batch's")


if __name__ == "__main__":
    sys.exit(main())
