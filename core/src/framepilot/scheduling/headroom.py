"""Headroom: the share of a memory limit that nothing that is planned or loaded may take.

What is known of memory is an estimate, and whoever passes a limit is killed with all that it runs.
"""

from __future__ import annotations

from typing import Final

HEADROOM: Final = 0.1
"""What is left free if nothing else is said."""

MOST_HEADROOM: Final = 0.9
"""The most that may be asked for."""


def usable(limit: float, headroom: float) -> float:
    """How much of a limit may be taken, in its unit."""
    return limit * (1 - headroom)
