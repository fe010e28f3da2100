"""Why nothing was planned."""

from __future__ import annotations


class PlanError(Exception):
    """Nothing can be planned: one line for each reason."""
