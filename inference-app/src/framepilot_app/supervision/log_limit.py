"""Bounds what a fault that repeats itself can write: a rate for each logger and message, and a count of the rest.

A camera that fails twenty times a second for a week must not fill the disk that others need. Each message, before its
arguments are filled in, may come in a burst and then now and then (a token bucket); what is left out is counted, and
the next one that is written says how often it was repeated.
"""

from __future__ import annotations

import copy
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Final

BURST: Final = 100
EVERY_S: Final = 10.0
MOST_MESSAGES: Final = 1000
"""Different messages that are kept track of; a program has fewer."""

Key = tuple[str, int, str]
"""(logger, level, message before its arguments are filled in)"""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float
    left_out: int = 0
    last: logging.LogRecord | None = None


class LimitedHandler(logging.StreamHandler[IO[str]]):
    """Writes to a stream. `burst` records of a message, then one in `every_s` seconds."""

    def __init__(
        self,
        stream: IO[str],
        burst: int = BURST,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream)
        self._burst = burst
        self._every_s = every_s
        self._clock = clock
        self._buckets: OrderedDict[Key, _Bucket] = OrderedDict()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it; and what is owed of other messages. Called with the handler's lock."""
        now = self._clock()
        key = (record.name, record.levelno, str(record.msg))
        bucket = self._buckets.pop(key, None) or _Bucket(self._burst, now)
        self._buckets[key] = bucket
        self._fill(bucket, now)
        if bucket.tokens < 1:
            bucket.left_out += 1
            bucket.last = record
        else:
            bucket.tokens -= 1
            super().emit(self._said(record, bucket))
        for other in [*self._buckets.values()]:
            self._fill(other, now)
            if other.left_out and other.tokens >= 1:
                other.tokens -= 1
                self._settle(other)
        if len(self._buckets) > MOST_MESSAGES:
            self._settle(self._buckets.popitem(last=False)[1])

    def close(self) -> None:
        """Say what is still owed."""
        for bucket in self._buckets.values():
            self._settle(bucket)
        self._buckets.clear()
        super().close()

    def _fill(self, bucket: _Bucket, now: float) -> None:
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) / self._every_s)
        bucket.filled_at = now

    def _settle(self, bucket: _Bucket) -> None:
        """Write the last record that was left out, with how many there were."""
        if bucket.last is not None and bucket.left_out:
            bucket.left_out -= 1
            super().emit(self._said(bucket.last, bucket))

    def _said(self, record: logging.LogRecord, bucket: _Bucket) -> logging.LogRecord:
        if not bucket.left_out:
            bucket.last = None
            return record
        said = copy.copy(record)
        said.msg, said.args = f"{record.getMessage()} (repeated {bucket.left_out} times)", None
        bucket.left_out, bucket.last = 0, None
        return said
