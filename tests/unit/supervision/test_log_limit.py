"""What repeats itself is counted instead of written, and nothing else is left out."""

from __future__ import annotations

import io
import logging

import pytest

from framepilot_app.supervision.log_limit import MOST_MESSAGES, LimitedHandler


class Log:
    """A logger of its own, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        self.handler = LimitedHandler(self.stream, burst=3, every_s=8, clock=lambda: self.now)
        self.logger = logging.Logger("camera")
        self.logger.addHandler(self.handler)

    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def log():
    return Log()


def test_a_message_that_repeats_itself_is_written_now_and_then_with_how_often_it_came(log):
    for second in range(25):
        log.now = float(second)
        log.logger.warning("camera %d does not answer", second)
    assert log.lines() == [
        "camera 0 does not answer",
        "camera 1 does not answer",
        "camera 2 does not answer",
        "camera 8 does not answer (repeated 5 times)",
        "camera 16 does not answer (repeated 7 times)",
        "camera 24 does not answer (repeated 7 times)",
    ]


def test_what_is_owed_is_said_with_the_next_record_of_any_kind_or_at_the_end(log):
    for _ in range(7):
        log.logger.error("the disk is full")
    log.now = 60.0
    log.logger.error("another matter")
    assert log.lines()[3:] == ["another matter", "the disk is full (repeated 3 times)"]
    for _ in range(9):
        log.logger.error("again")
    log.handler.close()
    assert log.lines()[-1] == "again (repeated 5 times)"


def test_different_messages_and_levels_do_not_share_a_limit(log):
    for _ in range(3):
        log.logger.error("one")
        log.logger.error("two")
        log.logger.warning("one")
    assert len(log.lines()) == 9


def test_a_message_that_comes_seldom_is_never_left_out(log):
    for minute in range(50):
        log.now = 60.0 * minute
        log.logger.info("still here")
    assert log.lines() == ["still here"] * 50


def test_what_is_kept_track_of_is_bounded_and_what_is_owed_is_said_when_it_is_forgotten(log):
    for _ in range(9):
        log.logger.info("first")
    for number in range(MOST_MESSAGES):
        log.logger.info(f"message {number}")
    assert "first (repeated 5 times)" in log.lines()
    assert len(log.handler._buckets) <= MOST_MESSAGES
