"""One file of a spool: records in order, each the length and the CRC-32 of an event (4 bytes each), then the event."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

LARGEST_RECORD: Final = 1 << 28
_HEADER: Final = Struct(">II")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Segment:
    """`offset` is where the next record to read begins, `records` how many there are from there."""

    number: int
    path: Path
    records: int = 0
    size: int = 0
    offset: int = 0

    def read(self, events: int, size: int) -> tuple[list[bytes], list[int]]:
        """The next events, within these bounds but at least one, and where each of them ends.

        Raises:
            ValueError: the next record is damaged.
            OSError: the disk is.
        """
        lines: list[bytes] = []
        ends: list[int] = []
        at = self.offset
        with self.path.open("rb") as file:
            file.seek(at)
            while at < self.size and len(lines) < events and (not lines or size > 0):
                try:
                    line = _record(file)
                except ValueError:
                    if lines:
                        break
                    raise
                at += _HEADER.size + len(line)
                size -= len(line)
                lines.append(line)
                ends.append(at)
        return lines, ends


def pack(lines: Sequence[bytes]) -> bytes:
    """The records of some events."""
    return b"".join(_HEADER.pack(len(line), zlib.crc32(line)) + line for line in lines)


def scanned(number: int, path: Path, offset: int) -> Segment:
    """A segment that is there, cut off behind its last whole record.

    Raises:
        OSError: it cannot be read.
    """
    records, at, size = 0, offset, path.stat().st_size
    with path.open("r+b") as file:
        file.seek(offset)
        while at < size:
            try:
                at += _HEADER.size + len(_record(file))
            except ValueError as error:
                log.warning("a spool's segment is cut off", extra={"segment": str(path), "at": at, "error": str(error)})
                file.truncate(at)
                break
            records += 1
    return Segment(number, path, records, at, offset)


def _record(file: BinaryIO) -> bytes:
    """The event at this place.

    Raises:
        ValueError: there is no whole one.
    """
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise ValueError("it ends within a record")
    length, checksum = _HEADER.unpack(header)
    line = file.read(length) if length <= LARGEST_RECORD else b""
    if len(line) != length or zlib.crc32(line) != checksum:
        raise ValueError("a record's length and checksum do not fit its content")
    return line
