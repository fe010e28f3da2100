"""When each frame of a source is due, and which frames a rate cap leaves out: arithmetic on the frame's index.

Due times are multiples of a period counted from the start of the epoch, so lateness never adds up: who is late does
not wait and so catches up.
"""

from __future__ import annotations

from dataclasses import dataclass


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

    def keeps(self, index: int) -> bool:
        """Whether the source's frame `index` is kept; the first always is."""
        if self.due_fps is None or self.kept_fps is None or index == 0:
            return True
        return int(index * self.kept_fps / self.due_fps) != int((index - 1) * self.kept_fps / self.due_fps)
