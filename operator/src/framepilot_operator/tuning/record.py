"""When a recorded profile is written anew: when batches alone on the device clearly take other times than it says.

What a profile is for is the next time that a version is planned before it is measured. So it need not follow every
drift: only what has lasted for minutes counts, and nobody writes a profile that was written a moment ago, by this
instance or by another one of the same device class. Two that differ for good so write in turns, but seldom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from framepilot.resources.meta import ObjectMeta
from framepilot.resources.profile import MEASURED_LABEL, ModelProfile, ProfilePoint
from framepilot_operator.planning.measured import SHORTEST_MS, profile_point
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.tuning.fit import MOVED, Fit, scaled

LASTING_S: Final = 120.0
"""So long the durations have to differ,"""
REST_S: Final = 600.0
"""and so long the profile has to have been as it is, as far as is known."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of a recorded profile. Times are Unix seconds.

    `since`: when it was first seen as it is, or written anew. `differs_since`: since when the device has been
    otherwise; None: it is not. `anew`: what is to be written in its place now, if anything is.
    """

    profile: ModelProfile
    since: float
    differs_since: float | None = None
    anew: ModelProfile | None = None


def alone(fit: Fit | None, profile: ModuleProfile) -> ModuleProfile | None:
    """How long batches take when nothing else uses the device; None if that cannot be seen now."""
    if fit is None or not fit.windows or fit.contended:
        return None
    return scaled(profile, {profile.largest: fit.free})


def followed(record: Record | None, profile: ModelProfile, now_alone: ModuleProfile | None, now: float) -> Record:
    """What is remembered after another look at a measured profile and at its device."""
    if record is None or record.anew is not None or record.profile.spec != profile.spec or now < record.since:
        return Record(profile, now)
    if now_alone is None or not any(_moved(point, now_alone) for point in profile.spec.points):
        return replace(record, differs_since=None, anew=None)
    since = now if record.differs_since is None else record.differs_since
    due = now - since >= LASTING_S and now - record.since >= REST_S
    return replace(record, differs_since=since, anew=_corrected(profile, now_alone) if due else None)


def _moved(point: ProfilePoint, now_alone: ModuleProfile) -> bool:
    return point.batch <= now_alone.largest and not 1 / MOVED < _times(point, now_alone) < MOVED


def _times(point: ProfilePoint, now_alone: ModuleProfile) -> float:
    return max(now_alone.typical_ms(point.batch), SHORTEST_MS) / point.p50_ms


def _corrected(profile: ModelProfile, now_alone: ModuleProfile) -> ModelProfile:
    """A size that this instance does not know is off like the largest one that it does."""
    within = [point for point in profile.spec.points if point.batch <= now_alone.largest]
    largest = max(within, key=lambda point: point.batch)
    points = []
    for point in profile.spec.points:
        times = _times(point if point in within else largest, now_alone)
        points.append(profile_point(point.batch, point.p50_ms * times, point.p99_ms * times))
    metadata = profile.metadata
    return ModelProfile(
        metadata=ObjectMeta(name=metadata.name, namespace=metadata.namespace, labels={MEASURED_LABEL: "true"}),
        spec=profile.spec.model_copy(update={"points": tuple(points)}),
    )
