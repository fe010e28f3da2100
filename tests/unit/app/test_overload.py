"""More load than capacity, in simulated time."""

from __future__ import annotations

from framepilot_app.frames import DropReason
from support.simulated_services import CAPACITY_FPS, SIZE, World, jain, service_of

EQUAL = {f"camera-{index}": 50 for index in range(10)}
TWICE = len(EQUAL) / (2 * CAPACITY_FPS)
"""The period at which ten streams give twice what the device can take."""


def test_at_twice_the_capacity_what_is_delivered_is_in_time_equal_streams_get_equal_shares_and_the_device_is_busy():
    world = World(EQUAL)
    world.run(120, TWICE)
    assert world.attainment() >= 0.99
    assert jain(world.delivered.values()) >= 0.999
    assert world.delivered.total() >= 0.95 * CAPACITY_FPS * 120
    assert world.dropped[DropReason.LATE] <= 0.01 * world.delivered.total(), "nothing is prepared to be dropped late"


def test_a_stream_that_wants_less_than_its_share_gets_nearly_all_of_it():
    world = World({**EQUAL, "slow": 50}, periods={"slow": 10 * TWICE})
    world.run(120, TWICE)
    assert world.delivered["slow"] >= 0.95 * world.offered["slow"]
    assert jain(world.delivered[stream] for stream in EQUAL) >= 0.999


def test_the_highest_priority_gets_nearly_all_of_its_frames_and_the_others_share_the_rest():
    world = World({**EQUAL, "camera-0": 90, "camera-1": 10})
    world.run(120, TWICE)
    assert world.delivered["camera-0"] >= 0.98 * world.offered["camera-0"]
    assert world.delivered["camera-1"] < 0.2 * world.offered["camera-1"]
    assert jain(world.delivered[f"camera-{index}"] for index in range(2, 10)) >= 0.999
    assert world.attainment() >= 0.99


def test_below_capacity_nothing_is_dropped():
    world = World(EQUAL)
    world.run(60, 2.5 * TWICE)
    assert world.delivered.total() >= world.offered.total() - 3 * SIZE
    assert world.attainment() >= 0.99
    assert world.dropped.total() == 0


def test_after_a_time_when_the_device_was_ten_times_as_slow_it_delivers_all_again_by_itself():
    world = World(EQUAL)
    world.run(30, 2.5 * TWICE)
    world.slow = 10.0
    world.run(60, 2.5 * TWICE)
    world.slow = 1.0
    world.run(75, 2.5 * TWICE)
    before = world.delivered.total(), world.offered.total()
    world.run(105, 2.5 * TWICE)
    assert world.delivered.total() - before[0] >= 0.99 * (world.offered.total() - before[1])


PAIR = {"a/a only": 50, **{f"b/b {index}": 50 for index in range(10)}}
"""A service with one stream, and one with ten."""
PAIRS = {"a/a only": 0.4 / CAPACITY_FPS}
"""The one stream gives two and a half times what the device can take."""


def of_b(world: World) -> list[int]:
    return [world.delivered[stream] for stream in PAIR if service_of(stream) == "b/b"]


def part(world: World, service: str) -> float:
    """Its part of the device's time."""
    return world.device_s[service] / world.device_s.total()


def test_services_get_equal_parts_of_the_device_however_many_streams_they_have():
    world = World(PAIR, PAIRS, worker_s=0.005)
    world.run(60, TWICE)
    assert abs(part(world, "a/a") - 0.5) <= 0.02
    assert jain(of_b(world)) >= 0.995


def test_a_service_with_one_stream_gets_what_it_reserved_and_the_streams_of_the_other_one_share_the_rest_evenly():
    world = World(PAIR, PAIRS, worker_s=0.005)
    world.reserve(a=0.5)
    world.run(60, TWICE)
    assert 0.7 <= part(world, "a/a") <= 0.78, "its reserve, and half of what is left"
    assert jain(of_b(world)) >= 0.98
    assert world.device_s.total() >= 0.98 * 60


def test_a_reserve_is_in_force_at_once_and_so_is_its_end():
    world = World(PAIR, PAIRS, worker_s=0.005)
    until = 0
    for reserves, expected in (({}, 0.5), ({"a": 0.6}, 0.8), ({"b": 0.6}, 0.2), ({}, 0.5)):
        world.reserve(**reserves)
        until += 30
        before = world.device_s.copy()
        world.run(until, TWICE)
        took = world.device_s - before
        assert abs(took["a/a"] / took.total() - expected) <= 0.05


def test_what_a_service_does_not_use_of_its_reserve_the_other_one_gets():
    world = World(PAIR, {"a/a only": 10 / CAPACITY_FPS}, worker_s=0.005)
    world.reserve(a=0.8)
    world.run(60, TWICE)
    assert world.delivered["a/a only"] >= 0.99 * world.offered["a/a only"]
    assert part(world, "b/b") >= 0.75
    assert world.device_s.total() >= 0.98 * 60


def test_a_service_takes_no_more_than_its_limit_though_the_device_be_idle_and_what_it_delivers_is_in_time():
    world = World(EQUAL)
    world.limit(s=0.3)
    world.run(60, TWICE)
    assert 0.28 * 60 <= world.device_s["s/s"] <= 0.31 * 60
    assert world.attainment() >= 0.99
    assert jain(world.delivered.values()) >= 0.99
    assert world.dropped[DropReason.LATE] <= 0.01 * world.delivered.total()


def test_what_a_limit_leaves_the_others_get_and_a_limit_holds_for_the_highest_priority_as_well():
    world = World({**PAIR, "a/a only": 90}, PAIRS, worker_s=0.005)
    world.limit(a=0.2)
    world.run(60, TWICE)
    assert 0.17 * 60 <= world.device_s["a/a"] <= 0.21 * 60
    assert world.device_s.total() >= 0.97 * 60
    assert world.attainment() >= 0.99


def test_a_limit_is_in_force_at_once_and_so_is_its_end():
    world = World(EQUAL)
    until = 0
    for limits, least, most in (({}, 0.95, 1.0), ({"s": 0.2}, 0.18, 0.22), ({"s": 0.5}, 0.46, 0.52), ({}, 0.95, 1.0)):
        world.limit(**limits)
        until += 30
        before = world.device_s.total()
        world.run(until, TWICE)
        assert least * 30 <= world.device_s.total() - before <= most * 30 + 0.5


def test_a_limit_that_is_not_reached_costs_nothing():
    world = World(EQUAL)
    world.limit(s=0.9)
    world.run(60, 2.5 * TWICE)
    assert world.dropped.total() == 0
    assert world.attainment() >= 0.99


def test_a_higher_priority_goes_before_a_reserve():
    world = World({**PAIR, "b/b 0": 90}, PAIRS, worker_s=0.005)
    world.reserve(a=0.95)
    world.run(60, TWICE)
    assert world.delivered["b/b 0"] >= 0.98 * world.offered["b/b 0"]
