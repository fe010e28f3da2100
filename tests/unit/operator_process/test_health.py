"""What probes are told: restart only what a restart may help."""

from __future__ import annotations

from dataclasses import dataclass

from framepilot_operator.kubernetes.health import STUCK_S, Health
from support.clock import Clock


@dataclass
class Passes:
    looked_at: float = 0
    seen_at: float | None = None


def test_a_process_that_waits_for_the_lease_is_healthy_and_ready_unless_it_cannot_take_it():
    health = Health(Clock())
    assert health.not_ready()
    trouble: list[str] = []
    health.waiting(lambda: trouble[0] if trouble else None)
    assert health.unhealthy() is None
    assert health.not_ready() is None
    trouble.append("403 Forbidden")
    assert health.unhealthy() is None
    assert health.not_ready() == "403 Forbidden"


def test_a_process_that_works_is_ready_once_it_saw_the_cluster():
    health, passes = Health(Clock()), Passes()
    health.working(passes)
    assert health.not_ready()
    passes.seen_at = 0
    assert health.not_ready() is None
    assert health.unhealthy() is None


def test_a_loop_that_is_stuck_is_unhealthy_and_one_that_fails_is_not():
    clock = Clock()
    health, passes = Health(clock), Passes(seen_at=0)
    health.working(passes)
    clock.now = STUCK_S + 1
    assert health.unhealthy()
    passes.looked_at = clock.now
    assert health.unhealthy() is None
    assert health.not_ready()


def test_a_process_that_ends_is_not_ready_and_is_left_alone():
    clock = Clock()
    health = Health(clock)
    health.working(Passes(seen_at=0))
    health.ending()
    clock.now = STUCK_S + 1
    assert health.unhealthy() is None
    assert health.not_ready()
