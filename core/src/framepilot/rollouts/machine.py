"""A rollout as a pure state machine: `(rollout, event) -> rollout`.

The app does what the state says and feeds back what came of it; the operator reads the states. The order of the states
is the promise: nothing reaches the device before its digests are checked, and nothing serves before it has run every
batch size and reproduced its own example. Whatever fails on the way is a refusal with a reason, and the version that
serves goes on serving. Only that a model cannot be had now, as its store does not give it or a limit does not leave
room for it, says nothing against the model: it is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from framepilot.contract.desired import ModelRef
from framepilot.rollouts.state import RolloutState


@dataclass(frozen=True, slots=True)
class Rollout:
    """One attempt to bring a module to `candidate`.

    `since` is the time at which `state` began. `reason` is that of a refusal, or why the model cannot be had yet.
    """

    candidate: ModelRef
    attempt: int
    state: RolloutState
    since: float
    sha256: str | None = None
    reason: str | None = None

    @property
    def settled(self) -> bool:
        """Whether there is a verdict."""
        return self.state in {RolloutState.SERVING, RolloutState.REFUSED}


@dataclass(frozen=True, slots=True)
class Delayed:
    """The model cannot be had, or not be loaded now; it is tried again from the start."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """The folder is in the cache and every digest is right. `refused_before` is the reason of an earlier verdict
    against the same digest at the same attempt, None if there is none."""

    sha256: str
    refused_before: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The program is on the device, beside the one that serves."""


@dataclass(frozen=True, slots=True)
class Warmed:
    """It has run every batch size; the profile is measured."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """Its example's output is the expected one, and fits the task."""


@dataclass(frozen=True, slots=True)
class Switched:
    """Items are prepared for it from now on."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A step failed; the reason is a sentence for a person."""

    reason: str


Event = Delayed | Fetched | Loaded | Warmed | Agreed | Switched | Failed


class UnexpectedEventError(Exception):
    """An event that the state cannot have led to: a defect of the caller."""


def begin(candidate: ModelRef, attempt: int, now: float) -> Rollout:
    """Start a rollout."""
    return Rollout(candidate, attempt, RolloutState.FETCHING, now)


def advance(rollout: Rollout, event: Event, now: float) -> Rollout:
    """The rollout after an event.

    Raises:
        UnexpectedEventError: the event does not belong to the state.
    """
    match rollout.state, event:
        case ((RolloutState.SERVING | RolloutState.REFUSED), _):
            raise UnexpectedEventError(f"{event} after the verdict {rollout.state}")
        case _, Failed(reason):
            return _refuse(rollout, reason, now)
        case RolloutState.FETCHING, Delayed(reason):
            return replace(rollout, reason=reason)
        case _, Delayed(reason):
            return replace(_enter(rollout, RolloutState.FETCHING, now), reason=reason)
        case RolloutState.FETCHING, Fetched(sha256, refused_before):
            fetched = replace(rollout, sha256=sha256, reason=None)
            if refused_before is not None:
                return _refuse(fetched, refused_before, now)
            return _enter(fetched, RolloutState.LOADING, now)
        case RolloutState.LOADING, Loaded():
            return _enter(rollout, RolloutState.WARMING, now)
        case RolloutState.WARMING, Warmed():
            return _enter(rollout, RolloutState.CHECKING, now)
        case RolloutState.CHECKING, Agreed():
            return _enter(rollout, RolloutState.SWITCHING, now)
        case RolloutState.SWITCHING, Switched():
            return _enter(rollout, RolloutState.SERVING, now)
        case _:
            raise UnexpectedEventError(f"{event} in state {rollout.state}")


def _enter(rollout: Rollout, state: RolloutState, now: float) -> Rollout:
    return replace(rollout, state=state, since=now)


def _refuse(rollout: Rollout, reason: str, now: float) -> Rollout:
    return replace(rollout, state=RolloutState.REFUSED, since=now, reason=reason)
