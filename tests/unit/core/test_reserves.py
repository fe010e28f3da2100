"""What each service's part of a device is: its reserve at least, and all of it together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.resources.quantities import RESERVE, fraction
from framepilot.scheduling.reserves import MOST_RESERVED, shares_of

reserves = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, MOST_RESERVED), min_size=1)


def test_what_nobody_reserved_is_shared_evenly():
    assert shares_of("ab", {}) == {"a": 0.5, "b": 0.5}
    assert shares_of("ab", {"a": 0.5}) == pytest.approx({"a": 0.75, "b": 0.25})
    assert shares_of("abc", {"a": 0.3, "b": 0.1}) == pytest.approx({"a": 0.5, "b": 0.3, "c": 0.2})


def test_what_is_reserved_by_one_that_has_no_work_is_shared_evenly_too():
    assert shares_of("bc", {"a": 0.5, "b": 0.2}) == pytest.approx({"b": 0.6, "c": 0.4})
    assert shares_of("c", {"a": 0.5, "b": 0.2}) == pytest.approx({"c": 1.0})
    assert shares_of("", {"a": 0.5}) == {}


@given(reserves)
def test_shares_are_all_of_the_device_and_nobodys_is_nothing(reserved):
    shares = shares_of(reserved, reserved)
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in shares.values())
    counted = min(1.0, MOST_RESERVED / (sum(reserved.values()) or 1))
    assert all(shares[service] >= counted * reserve for service, reserve in reserved.items())


@given(st.from_regex(RESERVE.pattern, fullmatch=True))
def test_what_may_be_written_can_be_reserved(text):
    assert 0 < fraction(text) <= MOST_RESERVED


@pytest.mark.parametrize("text", ["0%", "0.000%", "95.001%", "96%", "100%", "0.25", "25", "-5%", "05%"])
def test_what_cannot_be_reserved_is_refused(text):
    with pytest.raises(ValueError, match="is not a share of a device that can be reserved; write a percent above 0%"):
        RESERVE.check(text)
