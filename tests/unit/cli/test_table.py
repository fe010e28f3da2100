from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console

from framepilot.contract.observed import StreamState
from framepilot.resources.meta import Condition, ConditionStatus
from framepilot.resources.service import InferenceServiceStatus
from framepilot.rollouts.state import RolloutState
from framepilot_operator.cluster.port import DeclaredService, Snapshot
from framepilot_operator.ending import ended, failures
from framepilot_operator.table import news, render, totals, wrong
from support import snapshots as make


def shown(snapshot: Snapshot) -> list[str]:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(snapshot))
    return [" ".join(line.split()) for line in console.export_text().splitlines()]


def condition(kind: str, status: ConditionStatus, message: str) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason="Because",
        message=message,
        last_transition_time=datetime(2026, 1, 1, tzinfo=UTC),
        observed_generation=1,
    )


def with_conditions(*conditions: Condition) -> DeclaredService:
    declared = make.declared()
    status = InferenceServiceStatus(conditions=conditions)
    return replace(declared, resource=declared.resource.model_copy(update={"status": status}))


def running(state: StreamState = StreamState.RUNNING, *, in_flight: int = 0, reason: str | None = None) -> Snapshot:
    rollout = make.rollout(RolloutState.REFUSED, "2", 5, reason="wrong digest")
    stream = make.stream(state, ingested=10, in_flight=in_flight, reason=reason)
    return make.snapshot(state=make.observed(1, [make.module(rollout=rollout, items=30)], [stream]))


def test_the_table_has_streams_modules_and_devices():
    lines = shown(running(in_flight=2))
    assert "cameras/lobby/door running 0.0 8 0 2" in lines
    assert "cameras/lobby/face centerface 1 Refused 2: wrong digest 8 0 5.0 9.0 0 30" in lines
    assert "cameras/lobby a CPU cpu 0" in lines


def test_the_table_ends_with_what_is_wrong():
    service = with_conditions(
        condition("Feasible", ConditionStatus.FALSE, "no batch sizes hold 200ms; 260ms would do"),
        condition("Reconciling", ConditionStatus.TRUE, "starting"),
        condition("Stalled", ConditionStatus.FALSE, "nothing stalls"),
        condition("ModelsReady", ConditionStatus.TRUE, "all serve"),
    )
    assert shown(make.snapshot(service))[-1] == "cameras/lobby Feasible: no batch sizes hold 200ms; 260ms would do"
    assert len(list(wrong(make.snapshot(service)))) == 1


def test_the_log_has_a_line_for_each_thing_that_is_new():
    assert list(news(Snapshot(), running())) == [
        "cameras/lobby stream door: running",
        "cameras/lobby module face model: centerface 1 serves",
        "cameras/lobby module face batch: 8, waits 0 ms",
        "cameras/lobby module face rollout: Refused 2: wrong digest",
    ]
    assert list(news(running(), running())) == []
    assert list(news(running(), running(StreamState.FAILED, reason="it broke"))) == [
        "cameras/lobby stream door: failed (it broke)"
    ]


def test_the_log_says_when_something_is_in_order_again():
    service = with_conditions(condition("Feasible", ConditionStatus.FALSE, "no batch sizes hold 200ms"))
    assert list(news(make.snapshot(service), make.snapshot())) == ["cameras/lobby Feasible: no longer wrong"]


def test_totals_count_over_all_instances():
    state = make.observed().model_copy(update={"frames": make.stream(ingested=10, in_flight=2).frames})
    assert totals(make.snapshot(state=state)) == "frames: 10 ingested, 8 delivered, 0 dropped, 2 in flight"


def test_a_run_has_ended_when_every_stream_has_and_nothing_is_in_flight():
    assert not ended(Snapshot())
    assert not ended(make.snapshot())
    assert not ended(running())
    assert not ended(running(StreamState.ENDED, in_flight=1))
    assert ended(running(StreamState.ENDED))
    assert ended(running(StreamState.FAILED))


def test_a_run_goes_on_while_an_edit_is_not_yet_followed():
    over = make.observed(1, [], [make.stream(StreamState.ENDED)])
    assert not ended(make.snapshot(wanted=make.desired(2), state=over))


def test_a_failed_stream_is_named_with_its_reason():
    assert list(failures(running(StreamState.FAILED, reason="no such video"))) == [
        "cameras/lobby stream door failed: no such video"
    ]
    assert list(failures(running(StreamState.ENDED))) == []
