"""A frame on its way through a pipeline, and how it ends: exactly once, delivered or dropped for a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framepilot.contract.events import FrameId, StreamKey

Image = NDArray[np.uint8]
"""One picture: height x width x 3, uint8, BGR (OpenCV's order)."""


class DropReason(StrEnum):
    """Why a frame was dropped. The values are labels of the metric and keys of the report."""

    STILL = "still"  # nothing has changed since the last one that was run (motion)
    SUPERSEDED = "superseded"  # a newer frame of its stream came before it could start (delivery: newest)
    OVERLOAD = "overload"  # it waited for the work ahead of it until it was too late to start (delivery: newest)
    LATE = "late"  # it had started and could not have made its deadline any more (delivery: newest)
    ERROR = "error"  # a model raised on it, its output did not fit the task, or it took too long of late and is stopped


SKIPPED: Final = (DropReason.STILL, DropReason.SUPERSEDED)
"""Left out but not missed: another frame says the same, or more of now."""


class Ended(NamedTuple):
    """How many frames have ended that were taken on, and not skipped; and how many of them within their objective."""

    frames: int
    within: int

    @classmethod
    def of(cls, delivered: int, within: int, dropped: Mapping[str, int]) -> Ended:
        """From an account, whose drops are by reason."""
        skipped = sum(dropped.get(reason, 0) for reason in SKIPPED)
        return cls(delivered + sum(dropped.values()) - skipped, within)


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame. Times are seconds: `captured_at` and `deadline` monotonic, `captured_unix` for people."""

    id: FrameId
    image: Image
    captured_at: float
    captured_unix: float
    deadline: float
    enforced: bool
    """Whether missing the deadline drops it (delivery: newest)."""
    priority: int
    """The higher goes first."""

    @property
    def stream(self) -> StreamKey:
        """Whose it is."""
        return self.id.service, self.id.stream


@dataclass(frozen=True, slots=True)
class Box:
    """A detection: corners in pixels of the frame, score in 0..1, label."""

    x1: float
    y1: float
    x2: float
    y2: float
    score: float
    label: str


@dataclass(frozen=True, slots=True)
class Label:
    """A class and its score in 0..1."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Detections:
    """Output of a detection model for one item, best score first."""

    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Classification:
    """Output of a classification model for one item, best score first."""

    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Output of an embedding model for one item: as many numbers as its spec says."""

    vector: NDArray[np.float64]


Prediction = Detections | Classification | Embedding


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What one module said of one item. `parent` is the index of the detection it was cut from; None: the frame."""

    parent: int | None
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class ModuleResult:
    """What one module said of one frame; a frame in which its input found nothing has no items."""

    module: str
    model: str
    version: str
    items: tuple[ItemResult, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """A frame that went all the way. `latency_ms` runs from the return of decode to the hand-over to the sinks."""

    frame: Frame
    results: tuple[ModuleResult, ...]
    latency_ms: float

    @property
    def within(self) -> bool:
        """Whether it was within the objective that was in force when it was captured."""
        return self.frame.captured_at + self.latency_ms / 1000 <= self.frame.deadline


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame that did not. `detail` is a sentence for a person, or None."""

    frame: Frame
    reason: DropReason
    detail: str | None = None


Outcome = Delivered | Dropped
