from __future__ import annotations

from framepilot.contract.events import FrameId
from framepilot.contract.report import ChangeKind, Outcome
from framepilot.rollouts.state import RolloutState
from framepilot_operator.changes import ChangeLog, follow, records
from framepilot_operator.cluster.port import Snapshot
from framepilot_operator.ledger import Event, Ledger
from support import snapshots as make

FIXED_16 = {"mode": "Fixed", "size": 16}


def followed(*looks: tuple[float, Snapshot]) -> ChangeLog:
    log = ChangeLog()
    for now, snapshot in looks:
        log = follow(log, snapshot, now)
    return log


def at_first() -> tuple[float, Snapshot]:
    return 100, make.snapshot(make.declared(), make.desired(), make.observed(1, [make.module()]))


def test_what_is_declared_from_the_start_is_no_change():
    assert followed(at_first(), at_first()).changes == ()


def test_what_changes_before_anything_ran_is_no_live_change():
    earlier = make.snapshot(make.declared(90), make.desired(7, 4))
    started = make.snapshot(make.declared(100), make.desired(8, 8), make.observed(8, [make.module()]))
    assert followed((100, earlier), (101, started)).changes == ()


def test_a_declared_batch_size_is_in_force_when_it_is_observed():
    declared = make.declared(110, FIXED_16)
    log = followed(
        at_first(),
        (110.2, make.snapshot(declared, make.desired(), make.observed(1, [make.module()]))),
        (111, make.snapshot(declared, make.desired(2, 16), make.observed(1, [make.module()]))),
        (112, make.snapshot(declared, make.desired(2, 16), make.observed(2, [make.module(16, 110.25)]))),
    )
    (change,) = log.changes
    assert (change.kind, change.service, change.module) == (ChangeKind.BATCH, "cameras/lobby", "face")
    assert (change.before, change.to, change.outcome) == ("8", "16", Outcome.APPLIED)
    assert (change.requested_at, change.ended_at) == (110, 110.25)


def test_a_change_seen_only_when_it_is_over_is_whole_all_the_same():
    declared = make.declared(110, FIXED_16)
    log = followed(
        at_first(), (111, make.snapshot(declared, make.desired(2, 16), make.observed(2, [make.module(16, 110.25)])))
    )
    (change,) = log.changes
    assert (change.before, change.to, change.requested_at, change.ended_at) == ("8", "16", 110, 110.25)


def test_a_size_that_the_planner_chose_is_requested_when_it_is_noticed():
    log = followed(
        at_first(),
        (150, make.snapshot(make.declared(), make.desired(2, 16), make.observed(1, [make.module()]))),
        (151, make.snapshot(make.declared(), make.desired(2, 16), make.observed(2, [make.module(16, 150.5)]))),
    )
    assert [(change.requested_at, change.ended_at) for change in log.changes] == [(150, 150.5)]


def test_an_edit_that_changed_nothing_is_not_the_cause_of_what_the_planner_does_later():
    declared = make.declared(110, {"mode": "Auto", "max": 64})
    log = followed(
        at_first(),
        (110.5, make.snapshot(declared, make.desired(), make.observed(1, [make.module()]))),
        (120, make.snapshot(declared, make.desired(), make.observed(1, [make.module()]))),
        (200, make.snapshot(declared, make.desired(2, 16), make.observed(1, [make.module()]))),
    )
    assert [change.requested_at for change in log.changes] == [200]


def model_change(*states: tuple[float, object]) -> ChangeLog:
    declared, wanted = make.declared(110, version="2"), make.desired(2, version="2", attempt=2)
    return followed(
        at_first(),
        (110.1, make.snapshot(declared, wanted, make.observed(1, [make.module()]))),
        *((now, make.snapshot(declared, wanted, make.observed(2, [module]))) for now, module in states),
    )


def test_a_model_version_is_in_force_when_it_serves():
    log = model_change(
        (111, make.module(rollout=make.rollout(RolloutState.LOADING, "2", 110.2, attempt=2))),
        (
            113,
            make.module(version="2", rollout=make.rollout(RolloutState.SERVING, "2", 112.5, attempt=2, pause_ms=3.5)),
        ),
    )
    (change,) = log.changes
    assert (change.kind, change.before, change.to, change.outcome) == (ChangeKind.MODEL, "1", "2", Outcome.APPLIED)
    assert (change.requested_at, change.ended_at, change.pause_ms) == (110, 112.5, 3.5)


def test_a_model_version_that_is_refused_says_why():
    refusal = make.rollout(RolloutState.REFUSED, "2", 112, attempt=2, reason="wrong digest of weights.safetensors")
    (change,) = model_change((113, make.module(rollout=refusal))).changes
    assert (change.outcome, change.reason) == (Outcome.REFUSED, "wrong digest of weights.safetensors")


def test_an_earlier_verdict_on_the_same_version_is_not_that_of_this_change():
    earlier = make.rollout(RolloutState.REFUSED, "2", 90, attempt=1, reason="old")
    assert [change.outcome for change in model_change((113, make.module(rollout=earlier))).changes] == [None]


def test_a_version_refused_after_it_served_was_rolled_back():
    log = model_change(
        (113, make.module(version="2", rollout=make.rollout(RolloutState.SERVING, "2", 112.5, attempt=2))),
        (120, make.module(rollout=make.rollout(RolloutState.REFUSED, "2", 119, attempt=2, reason="it got worse"))),
    )
    assert [(change.outcome, change.reason) for change in log.changes] == [(Outcome.ROLLED_BACK, "it got worse")]


def test_a_change_that_is_overtaken_by_another_never_came_into_force():
    log = followed(
        at_first(),
        (110.1, make.snapshot(make.declared(110, FIXED_16), make.desired(2, 16), make.observed(1, [make.module()]))),
        (
            110.4,
            make.snapshot(
                make.declared(110.3, {"mode": "Fixed", "size": 4}),
                make.desired(3, 4),
                make.observed(3, [make.module(4, 110.35)]),
            ),
        ),
    )
    assert [(change.to, change.outcome, change.reason) for change in log.changes] == [
        ("16", Outcome.REFUSED, "superseded by a change to 4 before it was in force"),
        ("4", Outcome.APPLIED, None),
    ]


def test_a_version_taken_back_after_it_was_refused_is_no_change_of_what_runs():
    refused = make.module(rollout=make.rollout(RolloutState.REFUSED, "2", 112, attempt=2, reason="broken"))
    log = follow(
        model_change((113, refused)),
        make.snapshot(make.declared(120), make.desired(3, attempt=3), make.observed(3, [refused])),
        121,
    )
    assert [change.to for change in log.changes] == ["2"]


def test_a_restart_in_between_does_not_lose_the_change():
    declared = make.declared(110, FIXED_16)
    log = followed(
        at_first(),
        (110.1, make.snapshot(declared, make.desired(2, 16), None)),
        (115, make.snapshot(declared, make.desired(2, 16), make.observed(2, [make.module(16, 114)], started_at=113))),
    )
    assert [(change.outcome, change.ended_at) for change in log.changes] == [(Outcome.APPLIED, 114)]


def frames(first_at: float, count: int, latency_ms: float, reason: str | None = None, first: int = 0) -> list[Event]:
    return [
        Event(
            FrameId("cameras/lobby", "door", 1, first + index),
            first_at + index / 10,
            None if reason else latency_ms,
            reason,
        )
        for index in range(count)
    ]


def test_the_record_of_a_change_has_what_arrived_around_it():
    ledger = Ledger()
    arrived = [*frames(105, 50, 10), *frames(110.01, 5, 30, first=52), *frames(110.7, 2, 0, "late", first=57)]
    for event in [*arrived, *frames(113.51, 40, 20, first=59)]:
        ledger.record(event)
    log = model_change(
        (113, make.module(version="2", rollout=make.rollout(RolloutState.SERVING, "2", 112.5, attempt=2, pause_ms=3)))
    )
    (record,) = records(log, ledger, ended_at=200)
    assert (record.p99_before_ms, record.p99_during_ms, record.p99_after_ms) == (10, 30, 20)
    assert (record.lost, record.dropped) == (2, 2)
    assert (record.requested_at, record.in_force_at, record.delay_ms) == (110, 112.5, 2500)


def test_the_record_of_a_refused_change_was_never_in_force():
    refusal = make.rollout(RolloutState.REFUSED, "2", 112, attempt=2, reason="broken")
    (record,) = records(model_change((113, make.module(rollout=refusal))), Ledger(), ended_at=200)
    assert (record.in_force_at, record.delay_ms, record.pause_ms) == (None, None, None)
    assert (record.p99_before_ms, record.p99_during_ms, record.p99_after_ms) == (None, None, None)
    assert (record.outcome, record.reason) == (Outcome.REFUSED, "broken")


def test_a_change_still_under_way_at_the_end_says_so():
    (record,) = records(model_change(), Ledger(), ended_at=120)
    assert (record.outcome, record.reason) == (Outcome.REFUSED, "the run ended before it was in force")
