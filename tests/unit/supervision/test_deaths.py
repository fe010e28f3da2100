"""A thread that dies is logged, counted, and remembered."""

from __future__ import annotations

import logging
import threading

import pytest

from framepilot_app.supervision.deaths import Deaths


@pytest.fixture
def deaths():
    before = threading.excepthook
    watching = Deaths()
    watching.watch()
    yield watching
    threading.excepthook = before


def die(name: str) -> None:
    def fail() -> None:
        raise KeyError("nobody thought of that")

    thread = threading.Thread(target=fail, name=name)
    thread.start()
    thread.join()


def test_a_thread_that_dies_is_logged_counted_by_its_kind_and_the_first_is_the_reason(deaths, caplog):
    assert deaths.reason is None
    with caplog.at_level(logging.ERROR):
        die("sink-events")
        die("sink-other")
        die("stream-reader")
    assert deaths.counts() == {"sink": 2, "stream": 1}
    assert deaths.reason == "thread 'sink-events' died of KeyError: 'nobody thought of that'"
    assert [record.died for record in caplog.records] == ["sink-events", "sink-other", "stream-reader"]
    assert "nobody thought of that" in caplog.text
