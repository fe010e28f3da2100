"""The states of a rollout, as `/status` names them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class RolloutState(StrEnum):
    """From the wish for another version to the verdict on it."""

    FETCHING = "Fetching"  # find the folder in the store, check every digest
    LOADING = "Loading"  # map, pack: beside the old version
    WARMING = "Warming"  # run every batch size; this measures the profile
    CHECKING = "Checking"  # the example's output against the expected one
    SWITCHING = "Switching"  # between two batches
    SERVING = "Serving"
    REFUSED = "Refused"  # a verdict against the model: not tried again until the attempt or the digest changes


SETTLED: Final = frozenset({RolloutState.SERVING, RolloutState.REFUSED})
"""Nothing is under way in these."""
