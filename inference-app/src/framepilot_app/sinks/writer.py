"""One supervised thread for each sink, behind a bounded queue: a slow sink slows its service, a broken one does not.

A full queue blocks `put`, which is the back-pressure that reaches the source. A sink that fails is tried again with
back-off; once an event was given up, each further event gets one try, so that a full disk holds nobody up.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from framepilot_app.frames import Delivered, Outcome
from framepilot_app.sinks.sink import Sink, SinkError

CAPACITY = 256
BACK_OFF_S = (0.1, 0.3, 1.0)

logger = logging.getLogger(__name__)


class SinkWriter:
    """Writes the events of one service to one sink, in the order of `put`."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        drops: bool = False,
        capacity: int = CAPACITY,
        back_off_s: Sequence[float] = BACK_OFF_S,
    ) -> None:
        """Start the thread. `drops`: the sink wants dropped frames, too."""
        self.name = name
        self._sink = sink
        self._drops = drops
        self._capacity = capacity
        self._back_off_s = tuple(back_off_s)
        self._queue: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._blocked = 0
        self._closing = threading.Event()
        self._written = 0
        self._failed = 0
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}", daemon=True)
        self._thread.start()

    def wants(self, outcome: Outcome) -> bool:
        """Whether this outcome's event goes to this sink."""
        return self._drops or isinstance(outcome, Delivered)

    def put(self, line: bytes) -> None:
        """Hand over one event, as `encode` gives it; blocks while the queue is full.

        Raises:
            SinkError: the writer was closed before.
        """
        with self._changed:
            if self._closing.is_set():
                raise SinkError(f"sink '{self.name}' is closed; nothing can be handed over any more")
            self._blocked += 1
            self._changed.wait_for(lambda: len(self._queue) < self._capacity)
            self._blocked -= 1
            self._queue.append(line)
            self._changed.notify_all()

    def close(self) -> None:
        """Write all that was handed over, blocked calls of `put` included; flush and close the sink. Idempotent."""
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        self._thread.join()

    @property
    def written(self) -> int:
        """Events that the sink took."""
        return self._written

    @property
    def failed(self) -> int:
        """Events that were given up."""
        return self._failed

    @property
    def error(self) -> str | None:
        """Why the last event was given up; None as long as the sink works."""
        return self._error

    def _run(self) -> None:
        while (line := self._next()) is not None:
            self._deliver(line)
            if not self._queue:
                self._tidy(self._sink.flush)
        self._tidy(self._sink.flush)
        self._tidy(self._sink.close)

    def _next(self) -> bytes | None:
        """The next event; None when the writer is closed and everything is written."""
        with self._changed:
            if not self._queue:
                self._changed.wait_for(lambda: self._queue or (self._closing.is_set() and not self._blocked))
            if not self._queue:
                return None
            line = self._queue.popleft()
            self._changed.notify_all()
            return line

    def _deliver(self, line: bytes) -> None:
        waits_s = () if self._error is not None else self._back_off_s
        for wait_s in (*waits_s, None):
            try:
                self._sink.write(line)
            except SinkError as error:
                if wait_s is not None:
                    self._closing.wait(wait_s)
                    continue
                self._give_up(str(error))
            except Exception as error:
                logger.exception("sink '%s' raised", self.name)
                self._give_up(f"unexpected {type(error).__name__}; the log has the details")
            else:
                self._written += 1
                self._error = None
            return

    def _tidy(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            logger.exception("sink '%s' cannot be flushed or closed", self.name)
            self._error = str(error)

    def _give_up(self, reason: str) -> None:
        if self._error is None:
            logger.error("sink '%s' fails and its events are lost until it works again: %s", self.name, reason)
        self._failed += 1
        self._error = reason
