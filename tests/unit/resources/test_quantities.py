from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.resources.quantities import (
    DURATION,
    PERCENT,
    PROMISE,
    SHARE,
    duration_ms,
    format_duration,
    format_percent,
    fraction,
)

durations = st.from_regex(DURATION.pattern, fullmatch=True)
percents = st.from_regex(PERCENT.pattern, fullmatch=True)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("200ms", 200), ("1.5s", 1500), ("2s", 2000), ("1m", 60_000), ("12.5ms", 12.5), ("0.05s", 50), ("0.001ms", 0.001)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, ms: float) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize(
    "text", ["", "200", "ms", "-1s", "0ms", "0.0s", "00.5s", "1h", "1s500ms", "1 s", "1e3ms", "٣s", "1s\n", "9999999s"]
)
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is not a duration above 0; write a number and one of the units ms, s, m, such"
    ):
        duration_ms(text)


@given(st.integers(1, 999_998_999_999))
def test_a_duration_of_whole_microseconds_survives_writing_and_reading(microseconds: int) -> None:
    ms = microseconds / 1000
    assert duration_ms(format_duration(ms)) == pytest.approx(ms, rel=1e-15)


@given(durations)
def test_every_duration_is_above_0_and_is_written_back_with_the_same_meaning_to_the_microsecond(text: str) -> None:
    ms = duration_ms(text)
    assert ms > 0
    if 0.001 <= ms < 999_999_000:
        assert duration_ms(format_duration(ms)) == pytest.approx(ms, abs=0.00051)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(200, "200ms"), (12.5, "12.5ms"), (1500, "1.5s"), (60_000, "60s"), (0.00001, "0.001ms"), (999.9999, "1s")],
)
def test_a_duration_is_written_in_the_shortest_way(ms: float, text: str) -> None:
    assert format_duration(ms) == text


@pytest.mark.parametrize("ms", [0, -1, float("nan"), float("inf"), 999_999_000])
def test_what_no_duration_can_say_is_not_written(ms: float) -> None:
    with pytest.raises(ValueError, match="cannot be written as a duration; it must be above 0"):
        format_duration(ms)


@pytest.mark.parametrize(("text", "value"), [("60%", 0.6), ("0%", 0), ("100%", 1), ("2.5%", 0.025), ("100.0%", 1)])
def test_a_percent_is_a_fraction(text: str, value: float) -> None:
    assert fraction(text) == value


@pytest.mark.parametrize("text", ["60", "0.6", "101%", "100.1%", "-1%", "%", "60 %", "060%", "1.2345%"])
def test_anything_else_is_no_percent(text: str) -> None:
    with pytest.raises(
        ValueError, match="is not a percent; write a number from 0 to 100 and a percent sign, such as 60%"
    ):
        fraction(text)


@given(st.from_regex(PROMISE.pattern, fullmatch=True))
def test_a_share_that_can_be_promised_is_a_percent_of_half_or_more_and_not_of_all(text: str) -> None:
    assert 0.5 <= fraction(text) < 1


@pytest.mark.parametrize("text", ["100%", "100.0%", "0%", "49.9%", "99.999%", "099%", "99"])
def test_any_other_share_cannot_be_promised(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a share that can be promised; write a percent from 50% to 99\.99%"):
        PROMISE.check(text)


@given(st.from_regex(SHARE.pattern, fullmatch=True))
def test_a_part_of_a_picture_is_a_percent_above_0_and_below_100(text: str) -> None:
    assert 0 < fraction(text) < 1


@pytest.mark.parametrize("text", ["0%", "0.0%", "100%", "-1%", "1", "01%", "0.0001%"])
def test_any_other_is_no_part_of_a_picture(text: str) -> None:
    with pytest.raises(ValueError, match="is not a part of a picture; write a percent above 0% and below 100%"):
        SHARE.check(text)


@given(percents)
def test_a_percent_survives_reading_and_writing(text: str) -> None:
    value = fraction(text)
    assert 0 <= value <= 1
    assert fraction(format_percent(value)) == value


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_what_no_percent_can_say_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="it must be from 0 to 1"):
        format_percent(value)
