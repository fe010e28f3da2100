"""How long batches take now: what is believed lies within what was seen, and hiccups and resets move nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.observed import ProfilePoint
from framepilot_operator.planning.profile import ModuleProfile, from_observed
from framepilot_operator.tuning.counters import BatchCounters, Batches
from framepilot_operator.tuning.fit import Fit, factor, finding, followed, measured, scaled

SIZES = (1, 2, 4, 8)


def profile() -> ModuleProfile:
    found = from_observed([ProfilePoint(batch=size, p50_ms=8 + 2 * size, p99_ms=10 + 2 * size) for size in SIZES])
    assert found is not None
    return found


PROFILE = profile()
START = BatchCounters(1000.0, 1.0, "a", {})
Window = dict[int, tuple[int, float]]
"""By size: how many batches, and how many times as long as measured at loading they took."""


def after(counters: BatchCounters, window: Window, seconds: float = 1.0) -> BatchCounters:
    counted = dict(counters.batches)
    for size, (count, times) in window.items():
        before = counted.get(size, Batches(0, 0.0))
        took = count * times * PROFILE.typical.seconds(size)
        counted[size] = Batches(before.count + count, before.seconds + took)
    return replace(counters, at=counters.at + seconds, batches=counted)


def seen(*windows: Window, fit: Fit | None = None, shared: bool = False) -> Fit:
    fit = fit or followed(None, START, PROFILE)
    for window in windows:
        fit = followed(fit, after(fit.since, window), PROFILE, shared=shared)
    return fit


def windows(lowest: float = 0.2, highest: float = 5.0) -> st.SearchStrategy[list[Window]]:
    each = st.tuples(st.integers(3, 50), st.floats(lowest, highest))
    return st.lists(st.dictionaries(st.sampled_from(SIZES), each, min_size=1), min_size=1, max_size=20)


@given(windows())
def test_every_factor_lies_within_what_was_seen(given_windows: list[Window]) -> None:
    times = [times for window in given_windows for _, times in window.values()]
    fit = seen(*given_windows)
    found = [*measured(fit.sums, PROFILE).values(), *fit.believed.values()]
    assert all(min(times) * 0.999 <= each <= max(times) * 1.001 for each in found)
    assert min(1.0, *times) * 0.999 <= fit.free <= max(1.0, *times) * 1.001


@given(windows(0.95, 1.05))
def test_what_is_as_it_was_measured_at_loading_leaves_its_profile_alone(given_windows: list[Window]) -> None:
    fit = seen(*given_windows)
    assert not fit.contended
    assert scaled(PROFILE, fit.believed) == PROFILE
    assert finding(fit, 4) == ""


@given(st.sampled_from(SIZES), st.floats(1.4, 20.0), windows(0.95, 1.05))
def test_one_window_that_is_far_off_counts_only_if_the_next_says_the_same(
    size: int, times: float, before: list[Window]
) -> None:
    settled = seen(*before)
    once = seen({size: (10, times)}, fit=settled)
    assert (once.believed, once.sums) == (settled.believed, settled.sums)
    assert not seen({size: (10, 1.0)}, fit=once).contended
    twice = seen({size: (10, times)}, fit=once)
    assert twice.contended
    assert factor(twice.believed, size) == pytest.approx(times)


def test_a_step_that_the_driver_explains_counts_at_once() -> None:
    settled = seen({4: (10, 1.0)}, {4: (10, 1.0)})
    assert seen({4: (10, 2.0)}, fit=settled, shared=True).contended
    # That something else uses the device explains no batches that are faster.
    assert seen({4: (10, 0.5)}, fit=settled, shared=True).strayed is not None


def test_what_is_long_ago_is_forgotten() -> None:
    fit = seen(*[{4: (10, 1.0)}] * 20, *[{4: (10, 1.25)}] * 60)
    assert measured(fit.sums, PROFILE)[4] == pytest.approx(1.25, rel=0.02)
    fit = seen(*[{4: (10, 1.0), 8: (1, 1.0)}] * 5, *[{4: (10, 1.0)}] * 60)
    assert set(measured(fit.sums, PROFILE)) == {4}


def test_a_size_that_did_not_run_is_taken_to_be_like_the_nearest_that_did() -> None:
    fit = seen(*[{1: (200, 2.0), 8: (200, 4.0)}] * 2)
    assert factor(fit.believed, 2) == factor(fit.believed, 1) == pytest.approx(2.0, rel=0.05)
    assert factor(fit.believed, 32) == factor(fit.believed, 8) == pytest.approx(4.0, rel=0.05)
    now = scaled(PROFILE, fit.believed)
    assert now.typical_ms(8) == pytest.approx(4 * PROFILE.typical_ms(8), rel=0.05)
    assert now.tail_ms(8) == pytest.approx(4 * PROFILE.tail_ms(8), rel=0.05)
    assert now.largest == PROFILE.largest


def test_alone_again_the_device_is_what_it_was() -> None:
    free = seen(*[{4: (10, 0.6)}] * 10)
    assert finding(free, 4) == "batches take much less time than was measured at loading"
    contended = seen(*[{4: (10, 2.1)}] * 3, fit=free)
    assert finding(contended, 4) == "batches take over 3 times as long as alone on the device"
    again = seen(*[{4: (10, 0.61)}] * 2, fit=contended)
    assert scaled(PROFILE, again.believed).typical_ms(4) == pytest.approx(0.6 * PROFILE.typical_ms(4), rel=0.01)


def test_it_stays_contended_until_it_is_clearly_free() -> None:
    contended = seen(*[{4: (10, 1.3)}] * 2)
    assert seen(*[{4: (10, 1.12)}] * 100, fit=contended).contended
    assert not seen(*[{4: (10, 1.05)}] * 100, fit=contended).contended
    assert not seen(*[{4: (10, 1.0)}] * 5, *[{4: (10, 1.12)}] * 100).contended


@given(st.sampled_from(["process", "digest", "fewer", "earlier"]))
def test_where_counting_began_anew_so_does_the_fit(what: str) -> None:
    fit = seen(*[{4: (10, 3.0)}] * 3)
    now = after(fit.since, {4: (10, 3.0)})
    now = {
        "process": replace(now, process=2.0),
        "digest": replace(now, digest="b"),
        "fewer": replace(now, batches={4: Batches(1, 0.1)}),
        "earlier": replace(now, at=fit.since.at - 1),
    }[what]
    assert followed(fit, now, PROFILE) == Fit(now)


def test_a_look_that_was_missed_loses_nothing() -> None:
    start = followed(None, START, PROFILE)
    one = after(START, {4: (10, 1.5)}, 1.0)
    two = after(one, {4: (10, 1.5)}, 1.0)
    assert followed(start, two, PROFILE).sums[4].count == 20


def test_a_window_stays_open_until_it_says_something() -> None:
    start = followed(None, START, PROFILE)
    short = after(START, {4: (10, 1.0)}, 0.1)
    few = after(START, {4: (1, 1.0)}, 1.0)
    none = after(START, {}, 100.0)
    assert all(followed(start, each, PROFILE) == start for each in (short, few, none))
    assert followed(start, after(START, {4: (1, 1.0)}, 6.0), PROFILE).windows == 1


@given(st.floats(1.16, 1.45), st.floats(1.16, 1.45))
def test_a_busy_machine_is_not_told_of_with_every_little_change(one: float, other: float) -> None:
    fit = seen(*[{4: (10, one)}] * 5)
    assert finding(fit, 4) == finding(seen(*[{4: (10, other)}] * 5, fit=fit), 4) == ""


def test_of_what_did_not_run_yet_nothing_is_said() -> None:
    assert finding(None, 4) is None
    assert finding(followed(None, START, PROFILE), 4) is None
