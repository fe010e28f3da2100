"""One reader for each source, whatever the number of services that want its frames: every frame is decoded once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from framepilot_app.streams.reader import Reader, ReaderSettings, ReaderStatus, Subscriber


@dataclass(eq=False, slots=True)
class Subscription:
    """One service's share in a reader."""

    reader: Reader
    subscriber: Subscriber

    def status(self) -> ReaderStatus:
        """What the stream does now."""
        return self.reader.status()


class Hub:
    """Readers by their settings. Used on the event loop; stopping a reader may block and is done beside it."""

    def __init__(self, make_reader: Callable[[ReaderSettings], Reader] = Reader) -> None:
        self._make_reader = make_reader
        self._shared: dict[ReaderSettings, Reader] = {}

    def subscribe(self, settings: ReaderSettings, subscriber: Subscriber, *, lossless: bool) -> Subscription:
        """Begin to receive frames.

        A lossless subscriber gets a reader of its own: it must have every frame from the first, and the time it makes
        the source wait must not be felt by others.
        """
        reader = None if lossless else self._shared.get(settings)
        if reader is None:
            reader = self._make_reader(settings)
            if not lossless:
                self._shared[settings] = reader
            reader.add(subscriber)
            reader.start()
        else:
            reader.add(subscriber)
        return Subscription(reader, subscriber)

    def unsubscribe(self, subscription: Subscription) -> threading.Thread | None:
        """Receive nothing more. Without another subscriber the reader stops; join the thread to wait for that."""
        reader = subscription.reader
        reader.remove(subscription.subscriber)
        if reader.subscribers:
            return None
        if self._shared.get(reader.settings) is reader:
            del self._shared[reader.settings]
        stopping = threading.Thread(target=reader.stop, name="stop-reader")
        stopping.start()
        return stopping
