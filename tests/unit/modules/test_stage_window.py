"""The ring of what the latest items spent where, and what `/status` says of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.observed import Latencies
from framepilot_app.modules.stage_window import StageTimes, StageWindow
from framepilot_app.telemetry.status import latencies

LENGTH = 5


def times(count: int, first: int = 0) -> list[StageTimes]:
    return [StageTimes(number, 0.0, 0.25, 0.5) for number in range(first, first + count)]


@given(st.lists(st.integers(0, 2 * LENGTH), max_size=6), st.integers(0, 2 * LENGTH))
def test_it_has_the_latest_in_the_order_of_their_coming(batches, most):
    window, all_of_them = StageWindow(LENGTH), []
    for count in batches:
        new = times(count, len(all_of_them))
        window.add(new)
        all_of_them += new
    wanted = all_of_them[-LENGTH:][-most:] if most else []
    assert window.latest(most).tolist() == [[*each] for each in wanted]


def test_what_was_read_does_not_change():
    window = StageWindow(LENGTH)
    window.add(times(2))
    read = window.latest(LENGTH)
    window.add(times(LENGTH, first=100))
    assert read[:, 0].tolist() == [0, 1]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_means_are_of_stages_and_quantiles_of_their_sum(seconds):
    spent = np.array([[each, each / 2, 0.25, 0.5] for each in seconds])
    found = latencies(spent)
    assert found.pre == pytest.approx(1000 * np.mean(seconds), abs=0.001)
    assert (found.infer, found.post) == (250, 500)
    ms = 1000 * spent.sum(axis=1)
    assert (found.p50, found.p99) == pytest.approx(tuple(np.quantile(ms, (0.5, 0.99))), abs=0.001)


def test_of_nothing_nothing_is_said():
    assert latencies(StageWindow(LENGTH).latest(LENGTH)) == Latencies()
