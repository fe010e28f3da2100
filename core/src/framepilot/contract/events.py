"""What a sink receives: CloudEvents 1.0 in JSON, with a deterministic id, so that duplicates and gaps show outside.

`epoch` is the Unix time in milliseconds at which the source was opened (a file that loops is opened anew, and epochs of
one stream strictly increase); `sequence` counts the frames that the source gave in that epoch, from 0. So the ids of an
epoch are exactly 0 … n-1, each delivered once or dropped once.
"""

from __future__ import annotations

from typing import Final, NamedTuple

DELIVERED_TYPE: Final = "dev.framepilot.frame.delivered.v1"
DROPPED_TYPE: Final = "dev.framepilot.frame.dropped.v1"


StreamKey = tuple[str, str]
"""(service, stream)"""


class FrameId(NamedTuple):
    """The identity of a frame in one service's results."""

    service: str
    stream: str
    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.service}/{self.stream}/{self.epoch}/{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> FrameId:
        """Read `<namespace>/<name>/<stream>/<epoch>/<sequence>`.

        Raises:
            ValueError: it is not of this form.
        """
        namespace, name, stream, epoch, sequence = text.split("/")
        return cls(f"{namespace}/{name}", stream, int(epoch), int(sequence))
