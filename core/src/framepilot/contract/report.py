"""The report of a run (`framepilot up --report`). Field names are snake_case, as tables and notebooks like them.

`lost` is measured from outside the app: frames that the source gave - unique ids at the sink - recorded drops.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class ReportPart(BaseModel):
    """A part of the report: immutable, snake_case, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ChangeKind(StrEnum):
    """What was changed while frames flowed."""

    BATCH = "batch"
    MODEL = "model"


class Outcome(StrEnum):
    """How a change ended."""

    APPLIED = "applied"
    REFUSED = "refused"
    ROLLED_BACK = "rolled-back"


class FrameTotals(ReportPart):
    """All streams together."""

    ingested: int
    delivered: int
    dropped: dict[str, int]
    in_flight: int
    lost: int


class StreamTotals(ReportPart):
    """One stream."""

    service: str
    name: str
    ingested: int
    delivered: int
    dropped: dict[str, int]
    lost: int


class ModuleTotals(ReportPart):
    """One module, with the version and batch size in force at the end."""

    service: str
    name: str
    version: str
    batch: int
    p50_ms: float
    p99_ms: float
    items: int


class ChangeRecord(ReportPart):
    """One live change. Times are Unix seconds; `delay_ms` = in force - requested.

    p99 is of frame latency in the windows before, during and after, where a refusal ends the change just as coming into
    force does; absent where a window has no frames.
    """

    kind: ChangeKind
    service: str
    module: str
    # `from` is a keyword in Python.
    from_: str
    to: str
    requested_at: float
    in_force_at: float | None
    delay_ms: float | None
    pause_ms: float | None
    p99_before_ms: float | None
    p99_during_ms: float | None
    p99_after_ms: float | None
    lost: int
    dropped: int
    outcome: Outcome
    reason: str | None

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.rstrip("_"),
        populate_by_name=True,
        serialize_by_alias=True,
    )


class Report(ReportPart):
    """What happened between the start and the end of a run."""

    frames: FrameTotals
    streams: tuple[StreamTotals, ...]
    modules: tuple[ModuleTotals, ...]
    changes: tuple[ChangeRecord, ...]
