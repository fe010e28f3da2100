"""The report of a run: what the sources gave, what arrived, what each change did. Built once, at the end.

For every stream, and so for the whole: ingested = delivered + dropped + in flight + lost. `ingested` is what the source
gave, and `lost` is what remains when everything that arrived at the sink is taken away; the app is not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from framepilot.contract.observed import ObservedModule
from framepilot.contract.report import FrameTotals, ModuleTotals, Report, StreamTotals
from framepilot_operator.changes import ChangeLog, ModuleKey, records
from framepilot_operator.cluster.desired_file import write_atomically
from framepilot_operator.ledger import Ledger, StreamKey
from framepilot_operator.observations import Life, Observations


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that a report is made of.

    `counted` is frames by source URI, as counted independently; `drained` whether every instance ended by itself after
    delivering what was under way; `ended_at` is Unix seconds.
    """

    ledger: Ledger
    observations: Observations
    changes: ChangeLog
    counted: Mapping[str, int]
    drained: bool
    ended_at: float


def build(run: Run) -> Report:
    """The report. Tells the run's ledger what the sources gave."""
    run.observations.settle(run.ledger, run.counted)
    in_flight = {key: _in_flight(run, key) for key in run.ledger.streams}
    streams = tuple(_stream(run.ledger, key, in_flight[key]) for key in sorted(run.ledger.streams))
    return Report(
        frames=FrameTotals(
            ingested=sum(stream.ingested for stream in streams),
            delivered=sum(stream.delivered for stream in streams),
            dropped=dict(sum((Counter(stream.dropped) for stream in streams), Counter())),
            in_flight=sum(in_flight.values()),
            lost=sum(stream.lost for stream in streams),
        ),
        streams=streams,
        modules=tuple(_module(key, lives) for key, lives in sorted(run.observations.modules.items())),
        changes=records(run.changes, run.ledger, run.ended_at),
    )


def _in_flight(run: Run, key: StreamKey) -> int:
    epochs = run.ledger.stream(key).epochs
    if run.drained or not epochs:
        return 0
    return min(run.observations.in_flight(key), epochs[max(epochs)].unaccounted)


def _stream(ledger: Ledger, key: StreamKey, in_flight: int) -> StreamTotals:
    stream = ledger.stream(key)
    epochs = stream.epochs.values()
    return StreamTotals(
        service=key[0],
        name=key[1],
        ingested=sum(epoch.given for epoch in epochs),
        delivered=sum(epoch.delivered for epoch in epochs),
        dropped=dict(stream.dropped()),
        lost=sum(epoch.unaccounted for epoch in epochs) - in_flight,
    )


def _module(key: ModuleKey, lives: Mapping[Life, ObservedModule]) -> ModuleTotals:
    latest = lives[max(lives, key=lambda life: life.started_at)]
    return ModuleTotals(
        service=key[0],
        name=key[1],
        version=latest.serving.version if latest.serving else "",
        batch=latest.batch.size,
        p50_ms=latest.latency_ms.p50,
        p99_ms=latest.latency_ms.p99,
        items=sum(module.items for module in lives.values()),
    )


def write(report: Report, path: Path) -> None:
    """Write the report as JSON; a reader sees the old file or the whole new one.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, report.model_dump_json(indent=2) + "\n")
