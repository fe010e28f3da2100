"""The last ten minutes, one sample a second: what a page that is opened later still sees.

Samples are numbered from 1, so that a reader asks for what came after the last one that it has. What changed, a batch
or a model, is in the first sample that has it, so a mark and the line that it stands on never disagree.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from framepilot_app.telemetry.device_use import BusyReading, busy_share

EVERY_S: Final = 1.0
LENGTH: Final = 600
"""Samples that are kept: ten minutes."""

MOST_AT_ONCE: Final = 120
"""Samples of one answer; whoever has none yet asks several times, and no answer is long."""


@dataclass(frozen=True, slots=True)
class ModuleSample:
    """A module at one moment; `version` None: none serves yet, `p99_ms` None: nothing has run since the last."""

    service: str
    module: str
    batch: int
    version: str | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """A module's batch size, or the version of its model, is another than in the sample before."""

    service: str
    module: str
    what: Literal["batch", "model"]
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Sample:
    """`at_s` is monotonic; `busy` is the share of the time since the sample before in which the device ran batches."""

    number: int
    at_s: float
    busy: float
    modules: tuple[ModuleSample, ...]
    changes: tuple[Change, ...]


class History:
    """A ring of samples. Used in one thread."""

    def __init__(self, length: int = LENGTH) -> None:
        self._samples: deque[Sample] = deque(maxlen=length)
        self._busy: BusyReading | None = None

    @property
    def last(self) -> int:
        """The number of the newest sample; 0: there is none."""
        return self._samples[-1].number if self._samples else 0

    def add(self, at_s: float, busy_s: float, modules: Iterable[ModuleSample]) -> None:
        """Another second has passed; `busy_s` counts from the start, as the device thread does."""
        before = self._samples[-1] if self._samples else None
        now, reading = tuple(modules), BusyReading(at_s, busy_s)
        busy = (self._busy and busy_share(self._busy, reading)) or 0.0
        self._samples.append(
            Sample(
                number=self.last + 1,
                at_s=at_s,
                busy=round(busy, 4),
                modules=now,
                changes=() if before is None else tuple(_changes(before.modules, now)),
            )
        )
        self._busy = reading

    def after(self, number: int) -> tuple[Sample, ...]:
        """The oldest samples after this one, at most `MOST_AT_ONCE`; from the beginning if there is no such number."""
        first = self.last - len(self._samples) + 1
        start = number + 1 - first if first <= number <= self.last else 0
        return tuple(itertools.islice(self._samples, start, start + MOST_AT_ONCE))


def _changes(before: tuple[ModuleSample, ...], after: tuple[ModuleSample, ...]) -> Iterable[Change]:
    known = {(sample.service, sample.module): sample for sample in before}
    for sample in after:
        old = known.get((sample.service, sample.module))
        if old is None:
            continue
        if old.batch != sample.batch:
            yield Change(sample.service, sample.module, "batch", str(old.batch), str(sample.batch))
        if old.version != sample.version and old.version is not None and sample.version is not None:
            yield Change(sample.service, sample.module, "model", old.version, sample.version)
