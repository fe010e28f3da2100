"""The latency model: monotone, linear between measurements, an upper bound above them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.scheduling.latency import LatencyModel, batch_sizes

points = st.dictionaries(st.integers(1, 64), st.floats(0.0001, 1), min_size=1)


def test_sizes_are_powers_of_two_what_is_halfway_between_them_and_the_cap():
    assert batch_sizes(1) == (1,)
    assert batch_sizes(2) == (1, 2)
    assert batch_sizes(7) == (1, 2, 3, 4, 6, 7)
    assert batch_sizes(12) == (1, 2, 3, 4, 6, 8, 12)
    assert batch_sizes(16) == (1, 2, 3, 4, 6, 8, 12, 16)


def test_between_two_measurements_it_is_linear():
    assert LatencyModel.measured([(2, 0.02), (4, 0.04)]).seconds(3) == pytest.approx(0.03)


def test_above_the_largest_measurement_it_grows_with_the_size():
    assert LatencyModel.measured([(1, 0.01), (4, 0.02)]).seconds(8) == pytest.approx(0.04)


def test_a_model_without_measurements_is_refused():
    with pytest.raises(ValueError, match="at least one measured batch size"):
        LatencyModel.measured([])


@given(points, st.integers(1, 100), st.integers(1, 100))
def test_a_larger_batch_never_looks_cheaper(measured, a, b):
    model = LatencyModel.measured(measured.items())
    low, high = sorted((a, b))
    assert model.seconds(low) <= model.seconds(high) * (1 + 1e-12)


@given(points, st.floats(0.0001, 1))
def test_observations_move_the_size_that_ran_and_converge(measured, seconds):
    model = LatencyModel.measured(measured.items())
    size = max(measured)
    for _ in range(200):
        model = model.observed(size, seconds)
    floor = max((s for known, s in model.points if known < size), default=0.0)
    assert model.seconds(size) == pytest.approx(max(seconds, floor), rel=1e-3)


def test_what_slows_one_size_down_slows_all():
    model = LatencyModel.measured([(1, 0.01), (4, 0.02)])
    for _ in range(200):
        model = model.observed(1, 0.03)
    assert model.seconds(4) == pytest.approx(0.06, rel=1e-3)


def test_a_model_can_be_moved_towards_another():
    model = LatencyModel.measured([(1, 1.0), (4, 2.0)])
    measured = LatencyModel.measured([(1, 0.1), (4, 0.4)])
    assert model.towards(measured, 0.5).seconds(1) == pytest.approx(0.55)
    assert model.towards(measured, 1.0).seconds(4) == pytest.approx(0.4)
