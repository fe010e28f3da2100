"""What a stream needs of a source: images one after the other. One file for each kind of source implements it."""

from __future__ import annotations

from typing import Protocol

from framepilot_app.frames import Image


class SourceError(Exception):
    """A source that cannot be opened or read: which one, what happened, what to do. Never holds credentials."""


class Source(Protocol):
    """One opened source. Used by one thread."""

    @property
    def fps(self) -> float | None:
        """The source's own rate in frames per second; None if it has none."""

    def read(self) -> Image | None:
        """The next image, decoded; None at the end.

        Raises:
            SourceError: the source broke.
        """

    def skip(self) -> bool:
        """Pass over the next image, cheaper than reading it; False at the end.

        Raises:
            SourceError: the source broke.
        """

    def close(self) -> None:
        """Give everything back. Idempotent."""
