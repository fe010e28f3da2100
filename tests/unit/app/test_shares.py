"""Shares of the device: equal over time, and idleness earns no claim."""

from __future__ import annotations

from framepilot_app.modules.shares import Shares


def test_whoever_used_least_goes_next():
    shares = Shares()
    shares.activate(["a", "b"])
    shares.charge("a", 1.0)
    assert shares.used("a") > shares.used("b")
    shares.charge("b", 3.0)
    assert shares.used("b") > shares.used("a")


def test_a_service_that_was_idle_cannot_claim_the_time_it_left_unused():
    shares = Shares()
    shares.activate(["a", "b"])
    shares.activate(["a"])
    shares.charge("a", 100.0)
    shares.activate(["a", "b"])
    assert shares.used("b") == shares.used("a") == 100.0


def test_a_short_pause_costs_nothing():
    shares = Shares()
    shares.activate(["a", "b"])
    shares.charge("a", 5.0)
    shares.charge("b", 7.0)
    shares.activate(["a"])
    shares.activate(["a", "b"])
    assert (shares.used("a"), shares.used("b")) == (5.0, 7.0)
