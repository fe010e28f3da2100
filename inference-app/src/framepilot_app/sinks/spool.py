"""Events on disk, in order, that a sink could not take yet: they outlive the process.

A folder of segments, `<number>.events` (`segment.py`). New events are appended to the last one, the oldest are read
from the first one; a segment that was read to its end is removed. `position` says how far the first one was read. When
the spool has reached its size the oldest segment is dropped.

Records survive the end of the process at once. They are forced to the disk (fsync) when a segment is complete and when
the spool is closed, so a machine that loses its power loses at most the last segment. A record that was not written to
its end is cut off when the spool is opened.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framepilot_app.sinks.segment import Segment, pack, scanned

SEGMENTS: Final = 16
"""A full spool has about so many; one is dropped at a time."""

LARGEST_SEGMENT: Final = 64 << 20
_FIRST_NUMBER: Final = 1 << 40

log = logging.getLogger(__name__)


class SpoolError(Exception):
    """A spool that cannot be opened, written or read: which one, what happened, what to do."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where records that were read end, in which segment."""

    segment: int
    ends: tuple[int, ...]


class Spool:
    """Thread-safe: one thread may append while another reads."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Open the folder, created if missing, and count what is in it.

        Raises:
            SpoolError: it cannot be used, or somebody else uses it.
        """
        self._folder = folder
        self._limit = limit_bytes
        self._segment_size = min(LARGEST_SEGMENT, limit_bytes // SEGMENTS)
        self._lock = threading.Lock()
        self._tail: int | None = None
        self._lost = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._guard = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._error("cannot be opened", error) from error
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._segments = self._found()
            self._save_position()
        except BlockingIOError as error:
            os.close(self._guard)
            raise SpoolError(f"spool '{folder}' is in use; give each sink a folder of its own") from error
        except OSError as error:
            os.close(self._guard)
            raise self._error("cannot be read", error) from error

    @property
    def count(self) -> int:
        """Events that are in it."""
        with self._lock:
            return sum(segment.records for segment in self._segments)

    @property
    def fill(self) -> float:
        """How full it is, 0..1."""
        with self._lock:
            return self._bytes() / self._limit

    def append(self, lines: Sequence[bytes]) -> None:
        """Add events; the oldest are dropped for them where there is no room.

        Raises:
            SpoolError: the disk is full or broken; none of them was added.
        """
        data = pack(lines)
        with self._lock:
            try:
                self._make_room(len(data))
                segment, tail = self._last(len(data))
            except OSError as error:
                raise self._error("cannot be written", error) from error
            try:
                written = 0
                while written < len(data):
                    written += os.write(tail, memoryview(data)[written:])
            except OSError as error:
                os.ftruncate(tail, segment.size)
                raise self._error("cannot be written", error) from error
            segment.size += len(data)
            segment.records += len(lines)

    def take_lost(self) -> int:
        """How many events were dropped since it was last asked, because the spool was full."""
        with self._lock:
            lost, self._lost = self._lost, 0
            return lost

    def prepend(self, lines: Sequence[bytes]) -> None:
        """Add events that are older than all that is in it, whatever its size.

        Raises:
            SpoolError: the disk is full or broken.
        """
        with self._lock:
            number = self._segments[0].number - 1 if self._segments else self._next_number()
            path = self._path(number)
            data = pack(lines)
            try:
                with path.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                self._segments.insert(0, Segment(number, path, len(lines), len(data)))
            except OSError as error:
                path.unlink(missing_ok=True)
                raise self._error("cannot be written", error) from error

    def read(self, events: int, size: int) -> tuple[list[bytes], Mark]:
        """The oldest events, within these bounds but at least one; they stay until `advance`.

        Raises:
            SpoolError: the disk does not give back what was written; `skip` drops it.
        """
        with self._lock:
            if not self._segments:
                return [], Mark(0, ())
            segment = self._segments[0]
            try:
                lines, ends = segment.read(events, size)
            except (OSError, ValueError) as error:
                raise SpoolError(f"spool '{segment.path}' is damaged at {segment.offset}: {error}") from error
            return lines, Mark(segment.number, tuple(ends))

    def advance(self, mark: Mark, done: int) -> int:
        """The first `done` events of what was read are delivered; returns how many of them had not been dropped."""
        with self._lock:
            if not done or not self._segments or self._segments[0].number != mark.segment:
                return 0
            segment = self._segments[0]
            segment.offset = mark.ends[done - 1]
            segment.records -= done
            if segment.records == 0:
                self._remove_first()
            else:
                self._save_position()
            return done

    def skip(self) -> int:
        """Drop the oldest segment, which is damaged; returns how many events were in it."""
        with self._lock:
            return self._remove_first() if self._segments else 0

    def close(self) -> None:
        """Force everything to the disk and let others open it."""
        with self._lock:
            try:
                self._finish_tail()
            except OSError as error:
                log.error("a spool could not be flushed", extra={"folder": str(self._folder), "error": str(error)})  # noqa: TRY400
            os.close(self._guard)

    def _found(self) -> list[Segment]:
        """The segments that are there, each from where it was not read yet."""
        read_number, read_offset = self._position()
        segments = []
        for path in sorted(self._folder.glob(f"{'[0-9]' * 20}.events")):
            number = int(path.stem)
            segment = scanned(number, path, read_offset if number == read_number else 0)
            if segment.records:
                segments.append(segment)
            else:
                path.unlink()
        return segments

    def _position(self) -> tuple[int, int]:
        try:
            number, offset = (self._folder / "position").read_text(encoding="ascii").split()
            return int(number), int(offset)
        except (FileNotFoundError, ValueError):
            return 0, 0

    def _save_position(self) -> None:
        """Where reading goes on after a restart. Without it some events arrive twice; that is no reason to stop."""
        first = self._segments[0] if self._segments else None
        text = f"{first.number} {first.offset}" if first else "0 0"
        new = self._folder / "position.new"
        try:
            new.write_text(text, encoding="ascii")
            new.replace(self._folder / "position")
        except OSError as error:
            log.warning("a spool's position was not saved", extra={"folder": str(self._folder), "error": str(error)})

    def _bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    def _make_room(self, needed: int) -> None:
        while self._segments and self._bytes() + needed > self._limit:
            self._lost += self._remove_first()

    def _last(self, needed: int) -> tuple[Segment, int]:
        """The segment to append to, which is a new one where the last is complete, and its descriptor."""
        if self._tail is not None and self._segments[-1].size + needed > self._segment_size:
            self._finish_tail()
        if self._tail is None:
            number = self._next_number()
            segment = Segment(number, self._path(number))
            self._tail = os.open(
                segment.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
            )
            self._segments.append(segment)
        return self._segments[-1], self._tail

    def _next_number(self) -> int:
        return self._segments[-1].number + 1 if self._segments else max(_FIRST_NUMBER, self._position()[0] + 1)

    def _finish_tail(self) -> None:
        if self._tail is not None:
            tail, self._tail = self._tail, None
            try:
                os.fsync(tail)
            finally:
                os.close(tail)

    def _remove_first(self) -> int:
        segment = self._segments.pop(0)
        if not self._segments and self._tail is not None:
            os.close(self._tail)
            self._tail = None
        segment.path.unlink(missing_ok=True)
        self._save_position()
        return segment.records

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:020d}.events"

    def _error(self, what: str, error: OSError) -> SpoolError:
        return SpoolError(
            f"spool '{self._folder}' {what}: {error.strerror}; free space or check its path and permissions"
        )
