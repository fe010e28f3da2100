"""Reads the files in which instances leave the events of a report, while they grow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from framepilot.contract.desired import DesiredSink
from framepilot_operator.cluster.records import file_name
from framepilot_operator.ledger import whole_lines

SINK: Final = "framepilot-report"
PIECE_BYTES: Final = 16 * 1024 * 1024


class EventFiles:
    """One file for each instance, in a folder of its own. Used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, and remove what an earlier run left in it.

        Raises:
            OSError: the folder cannot be used.
        """
        self._folder = folder
        self._offsets: dict[Path, int] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.jsonl"):
            path.unlink()

    def sinks(self, instance: str) -> tuple[DesiredSink, ...]:
        """The sink that makes an instance write its events into this folder, the dropped frames included."""
        return (DesiredSink(name=SINK, type="file", path=self._folder / f"{file_name(instance)}.jsonl", drops=True),)

    def read(self, take: Callable[[list[bytes]], None]) -> None:
        """Hand over every whole line that was written since the last call.

        Raises:
            OSError: a file cannot be read; the next call goes on where this one stopped.
        """
        for path in sorted(self._folder.glob("*.jsonl")):
            with path.open("rb") as file:
                while True:
                    file.seek(self._offsets.get(path, 0))
                    lines, consumed = whole_lines(file.read(PIECE_BYTES))
                    if not consumed:
                        break
                    self._offsets[path] = self._offsets.get(path, 0) + consumed
                    take(lines)
