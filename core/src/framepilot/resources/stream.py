"""A stream of an `InferenceService`: where its frames come from.

A live source (RTSP, HTTP, a device) does not end and is not repeated: when it goes away, it is opened again, for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator

from framepilot.contract.desired import Delivery
from framepilot.resources.meta import ResourcePart
from framepilot.resources.quantities import Duration, Share, duration_ms
from framepilot.resources.text import Name, rules
from framepilot.resources.uris import SECRET, SourceUri, holds_secret, is_camera, is_file, is_live, is_rtsp

DEFAULT_TIMEOUT: Final = "5s"


class Transport(StrEnum):
    """How RTSP comes."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a stream may not be, for both who refuse it: the expression holds where `broken` does not."""

    expression: str
    message: str
    broken: Callable[[Stream], bool]


_RULES: Final = (
    _Rule(
        "!has(self.transport) || self.source.startsWith('rtsp')",
        "transport is for rtsp sources; remove it",
        lambda stream: stream.transport is not None and not is_rtsp(stream.source),
    ),
    _Rule(
        "!has(self.timeout) || self.source.matches('^(rtsp|http|device)')",
        "timeout is for rtsp, http and device sources; remove it",
        lambda stream: stream.timeout is not None and not is_live(stream.source),
    ),
    _Rule(
        "!self.loop || !self.source.matches('^(rtsp|http|device)')",
        "loop is for files and the test source; a live source is opened again anyway; remove it",
        lambda stream: stream.loop and is_live(stream.source),
    ),
    _Rule(
        "!has(self.delivery) || self.delivery != 'lossless' || !self.source.matches('^(rtsp|device)')",
        "a camera does not wait, so it cannot be lossless; write delivery: newest",
        lambda stream: stream.delivery is Delivery.LOSSLESS and is_camera(stream.source),
    ),
    _Rule(
        f"!self.source.matches('{SECRET}')",
        "a password or token in the source would be seen by all who may read the service; write the user name and the "
        "password into the Secret that credentialsSecretName names, and {password} where the query needs it",
        lambda stream: holds_secret(stream.source),
    ),
)


class Motion(ResourcePart):
    """Only frames in which something has changed are run; the others are counted as dropped, by the reason `still`."""

    change: Share = "1%"
    """How much of the picture has to look different from the last one that was run. A lower one notices smaller things.
    Noise, and light that changes by up to a factor of two, do not count."""
    at_least_every: Duration = "2s"
    """When a frame is run though nothing has changed: this long after the last one that was."""


class Stream(ResourcePart):
    """One source of frames."""

    model_config = ConfigDict(json_schema_extra=rules(*((rule.expression, rule.message) for rule in _RULES)))

    name: Name
    source: SourceUri
    """`rtsp://host/path`, `http://host/path` (motion JPEG, or what FFmpeg reads), `device:///dev/video0`,
    `file:///absolute/path`, `file:relative/path`, or `test://WIDTHxHEIGHT?fps=25&frames=500` (synthetic). User name and
    password stand in the Secret that `credentialsSecretName` names."""
    fps: Annotated[int, Field(ge=1, le=1000)] | None = None
    """The most frames per second to take; absent: the source's own rate."""
    delivery: Delivery | None = None
    """`newest` skips frames that come too fast, `lossless` makes the source wait; absent: lossless for files."""
    loop: bool = False
    """Start again at the end."""
    realtime: bool | None = None
    """Pace the source by its own rate, as a camera would; absent: all but files, which are read as fast as can be."""
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    """Who goes first when there is more than can be served: the higher; streams of equal priority share evenly."""
    transport: Transport | None = None
    """How RTSP comes: `tcp`, or `udp`, which loses pictures rather than time; absent: tcp."""
    timeout: Duration | None = None
    """How long a live source may take to open, and from one frame to the next, before it is said to be stalled and is
    opened again; absent: 5s."""
    motion: Motion | None = None
    """Leave a still scene alone: `motion: {}` runs only frames in which something has changed. Absent: all are run."""

    @property
    def effective_delivery(self) -> Delivery:
        """The delivery in force: as declared, else lossless for a file and newest for anything live."""
        if self.delivery is not None:
            return self.delivery
        return Delivery.LOSSLESS if is_file(self.source) else Delivery.NEWEST

    @property
    def effective_realtime(self) -> bool:
        """Whether the source is paced: as declared, else not if it is a file and always if it is live."""
        return self.realtime if self.realtime is not None else not is_file(self.source)

    @property
    def elastic(self) -> bool:
        """Whether it gives frames as fast as they are served, so that its rate says nothing of what is wanted."""
        waits = self.effective_delivery is Delivery.LOSSLESS
        return waits and not self.effective_realtime and self.fps is None

    @property
    def timeout_ms(self) -> float:
        """The time-out in force, in milliseconds."""
        return duration_ms(self.timeout or DEFAULT_TIMEOUT)

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        for rule in _RULES:
            if rule.broken(self):
                raise ValueError(rule.message)
        return self
