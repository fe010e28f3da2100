"""The one way in which the development cluster fails: what did not work, where, and what to do about it."""

from __future__ import annotations


class ClusterSetupError(Exception):
    """The development cluster could not be built, started, used or removed."""
