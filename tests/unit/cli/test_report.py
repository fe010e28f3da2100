from __future__ import annotations

import json

from framepilot.contract.desired import DesiredStream
from framepilot.contract.events import FrameId
from framepilot.contract.observed import StreamState
from framepilot.contract.report import Report
from framepilot.rollouts.state import RolloutState
from framepilot_operator.changes import ChangeLog, follow
from framepilot_operator.cluster.port import Snapshot
from framepilot_operator.ledger import Event, Ledger
from framepilot_operator.observations import Observations
from framepilot_operator.report import Run, build, write
from support import snapshots as make

FILE = "file:///door.mp4"
KEY = ("cameras/lobby", "door")


def delivered(*sequences: int, epoch: int = 1000, reason: str | None = None) -> list[Event]:
    at = epoch / 1000
    return [
        Event(FrameId(*KEY, epoch, sequence), at + sequence / 10, None if reason else 12.0, reason)
        for sequence in sequences
    ]


def report(
    events: list[Event], *snapshots: Snapshot, counted: dict[str, int] | None = None, drained: bool = True
) -> Report:
    ledger, observations, changes = Ledger(), Observations(), ChangeLog()
    for event in events:
        ledger.record(event)
    for now, snapshot in enumerate(snapshots):
        observations.look(snapshot)
        changes = follow(changes, snapshot, now)
    run = Run(ledger, observations, changes, counted or {}, drained=drained, ended_at=100)
    made = build(run)
    for part in (made.frames, *made.streams):
        in_flight = getattr(part, "in_flight", None)
        if in_flight is not None:
            assert part.ingested == part.delivered + sum(part.dropped.values()) + in_flight + part.lost
    return made


def look(*streams, wanted: DesiredStream | None = None, started_at: float = 0.5) -> Snapshot:
    source = wanted or DesiredStream(name="door", source=FILE)
    state = make.observed(1, [make.module(items=40)], streams, started_at=started_at)
    return make.snapshot(wanted=make.desired(streams=(source,)), state=state)


ENDED = look(make.stream(StreamState.ENDED, 1000, ingested=10))


def test_nothing_is_lost_when_every_frame_of_the_file_arrived_or_was_dropped():
    made = report([*delivered(*range(8)), *delivered(8, 9, reason="late")], ENDED, counted={FILE: 10})
    assert (made.frames.ingested, made.frames.delivered, made.frames.dropped, made.frames.lost) == (
        10,
        8,
        {"late": 2},
        0,
    )


def test_an_event_removed_from_the_file_is_a_frame_lost():
    made = report(delivered(0, 1, 2, 4, 5, 6, 7, 8, 9), ENDED, counted={FILE: 10})
    assert made.frames.lost == made.streams[0].lost == 1


def test_frames_that_never_reached_the_app_are_lost_by_the_independent_count():
    made = report(delivered(*range(10)), ENDED, counted={FILE: 12})
    assert (made.frames.ingested, made.frames.lost) == (12, 2)


def test_a_stream_of_which_nothing_arrived_is_lost_as_a_whole():
    made = report([], ENDED, counted={FILE: 10})
    assert (made.frames.ingested, made.frames.delivered, made.frames.lost) == (10, 0, 10)


def test_each_epoch_of_a_looped_file_has_all_of_its_frames_but_the_last_one():
    loop = DesiredStream(name="door", source=FILE, loop=True)
    made = report(
        [*delivered(*range(9)), *delivered(*range(10), epoch=2000), *delivered(*range(4), epoch=3000)],
        look(make.stream(epoch=1000, ingested=5), wanted=loop),
        look(make.stream(epoch=3000, ingested=24), wanted=loop),
        counted={FILE: 10},
    )
    assert (made.frames.ingested, made.frames.delivered, made.frames.lost) == (24, 23, 1)


def test_a_file_cut_by_the_end_of_the_run_gave_what_was_ingested():
    made = report(delivered(*range(5)), look(make.stream(epoch=1000, ingested=5)))
    assert (made.frames.ingested, made.frames.lost) == (5, 0)


def test_what_a_killed_process_had_ingested_and_never_delivered_is_lost():
    made = report(
        [*delivered(*range(5)), *delivered(*range(10), epoch=2000)],
        look(make.stream(epoch=1000, ingested=7, in_flight=2)),
        look(make.stream(StreamState.ENDED, epoch=2000, ingested=10), started_at=1.5),
        counted={FILE: 10},
    )
    assert (made.frames.ingested, made.frames.delivered, made.frames.lost) == (17, 15, 2)


def test_what_is_under_way_when_a_run_is_cut_short_is_in_flight_and_not_lost():
    made = report(delivered(*range(5)), look(make.stream(epoch=1000, ingested=8, in_flight=3)), drained=False)
    assert (made.frames.ingested, made.frames.in_flight, made.frames.lost) == (8, 3, 0)


def test_a_rate_that_leaves_frames_out_makes_a_file_uncountable():
    capped = DesiredStream(name="door", source=FILE, fps=5, realtime=True)
    every_frame = DesiredStream(name="door", source=FILE, fps=5, realtime=False)
    for wanted, countable in ((capped, frozenset()), (every_frame, frozenset({FILE}))):
        observations = Observations()
        observations.look(look(make.stream(StreamState.ENDED, 1000, ingested=10), wanted=wanted))
        assert observations.countable() == countable


def test_items_are_summed_over_the_lives_of_a_process():
    made = report([], look(started_at=0.5), look(started_at=5))
    assert [(module.name, module.version, module.batch, module.items) for module in made.modules] == [
        ("face", "1", 8, 80)
    ]


def test_the_file_has_the_documented_names(tmp_path):
    before = look(make.stream(epoch=1000))
    served = make.module(
        version="2", rollout=make.rollout(RolloutState.SERVING, "2", since=1.5, attempt=2, pause_ms=1.0), items=40
    )
    after = make.snapshot(
        make.declared(1.2, version="2"),
        make.desired(2, version="2", attempt=2),
        make.observed(2, [served], [make.stream(StreamState.ENDED, 1000, ingested=10)], started_at=0.5),
    )
    path = tmp_path / "new" / "out.json"
    write(report(delivered(*range(10)), before, after, counted={FILE: 10}), path)
    found = json.loads(path.read_text())
    assert list(found) == ["frames", "streams", "modules", "changes"]
    assert list(found["frames"]) == ["ingested", "delivered", "dropped", "in_flight", "lost"]
    assert list(found["streams"][0]) == ["service", "name", "ingested", "delivered", "dropped", "lost"]
    assert list(found["modules"][0]) == ["service", "name", "version", "batch", "p50_ms", "p99_ms", "items"]
    assert list(found["changes"][0]) == [
        *("kind", "service", "module", "from", "to", "requested_at", "in_force_at", "delay_ms", "pause_ms"),
        *("p99_before_ms", "p99_during_ms", "p99_after_ms", "lost", "dropped", "outcome", "reason"),
    ]
    assert found["changes"][0]["kind"] == "model"
    assert found["changes"][0]["outcome"] == "applied"
    assert [path.name for path in path.parent.iterdir()] == ["out.json"]
