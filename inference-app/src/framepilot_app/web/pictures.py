"""Pictures for people: the newest frame of a stream as a JPEG, made only when somebody asks, on a thread of its own.

There is one such thread, which does the work outside Python's lock, and one picture of each stream that is looked at.
Whoever asks again soon, or while a picture is being made, gets the same one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from framepilot.contract.events import StreamKey
from framepilot_app.frames import Delivered
from framepilot_app.sinks.newest import NewestFrames
from framepilot_app.web.drawing import annotated, jpeg

EVERY_S: Final = 0.3
"""The least time between two pictures of one stream."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG of one frame; times are monotonic seconds."""

    frame: str
    captured_at: float
    made_at: float
    jpeg: bytes


class Pictures:
    """Used on the event loop."""

    def __init__(self, newest: NewestFrames) -> None:
        self._newest = newest
        self._thread = ThreadPoolExecutor(1, "pictures")
        self._made: dict[StreamKey, Picture] = {}
        self._making: dict[StreamKey, asyncio.Future[Picture]] = {}

    async def look(self, stream: StreamKey, inputs: Mapping[str, Sequence[str]], now: float) -> Picture | None:
        """The newest picture; None if no frame was delivered since somebody looks at this stream."""
        delivered = self._newest.look(stream, now)
        if delivered is None:
            return None
        made = self._made.get(stream)
        if made is not None and (made.frame == str(delivered.frame.id) or now - made.made_at < EVERY_S):
            return made
        if stream not in self._making:
            loop = asyncio.get_running_loop()
            making = loop.run_in_executor(self._thread, _make, delivered, inputs, now)
            making.add_done_callback(lambda done: self._done(stream, done))
            self._making[stream] = making
        # Several may wait for it; one that goes away takes it from nobody.
        return await asyncio.shield(self._making[stream])

    def forget(self, now: float) -> None:
        """Let go of the pictures and frames that nobody has looked at lately."""
        looked_at = self._newest.forget(now)
        self._made = {stream: picture for stream, picture in self._made.items() if stream in looked_at}

    def close(self) -> None:
        """Make no more; what is asked for now is not answered."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _done(self, stream: StreamKey, making: asyncio.Future[Picture]) -> None:
        del self._making[stream]
        if not making.cancelled() and making.exception() is None:
            self._made[stream] = making.result()


def _make(delivered: Delivered, inputs: Mapping[str, Sequence[str]], now: float) -> Picture:
    frame = delivered.frame
    return Picture(str(frame.id), frame.captured_at, now, jpeg(annotated(delivered, inputs)))
