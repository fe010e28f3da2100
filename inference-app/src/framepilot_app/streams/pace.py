"""When each frame of a source is due, and which frames a rate cap leaves out: arithmetic on the frame's index.

Due times are multiples of a period counted from the start of the epoch, so lateness never adds up: who is late does
not wait and so catches up. Who is very late, because the process stood still or had no time, does not: a camera keeps
no frames of minutes for later, and a burst of them would only keep those waiting that come now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LATEST_S: Final = 1.0
"""How late, in seconds, a source may be and still catch up."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The rate at which the source's frames are due (None: at once) and the rate of those that are kept (None: all)."""

    due_fps: float | None
    kept_fps: float | None

    @classmethod
    def of(cls, source_fps: float | None, cap_fps: float | None, *, realtime: bool) -> Pace:
        """The pace of a source that has this rate of its own, if any.

        In real time the source's clock rules and a cap leaves frames out, evenly. Otherwise every frame is kept, and a
        cap is the rate at which they come.
        """
        if not realtime or source_fps is None:
            return cls(due_fps=cap_fps, kept_fps=None)
        if cap_fps is None or cap_fps >= source_fps:
            return cls(due_fps=source_fps, kept_fps=None)
        return cls(due_fps=source_fps, kept_fps=cap_fps)

    def due_s(self, index: int) -> float:
        """Seconds from the start of the epoch to the moment at which the source's frame `index` is due."""
        return 0.0 if self.due_fps is None else index / self.due_fps

    def go_on_from(self, started: float, index: int, now: float) -> float:
        """When the epoch counts as started, now that frame `index` is taken: later, if it was too late to catch up."""
        if self.due_fps is None or now <= started + self.due_s(index) + LATEST_S:
            return started
        return now - self.due_s(index)

    def keeps(self, index: int) -> bool:
        """Whether the source's frame `index` is kept; the first always is."""
        if self.due_fps is None or self.kept_fps is None or index == 0:
            return True
        return int(index * self.kept_fps / self.due_fps) != int((index - 1) * self.kept_fps / self.due_fps)


class Thinning:
    """Which frames of a live source a rate cap leaves out, by the moments at which they come.

    A live source has no index to count by: frames come as they come, some never. A frame may come half a period early,
    so that one that is a little before its time is not left out for the one after it.
    """

    def __init__(self, cap_fps: float | None) -> None:
        self._period_s = 0.0 if cap_fps is None else 1 / cap_fps
        self._due: float | None = None

    def keeps(self, now: float) -> bool:
        """Whether the frame that came now, in monotonic seconds, is kept; the first always is."""
        due, half = self._due, self._period_s / 2
        if due is not None and now < due - half:
            return False
        self._due = now + self._period_s if due is None else max(due + self._period_s, now + half)
        return True
