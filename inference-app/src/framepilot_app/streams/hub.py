"""One reader for each source, whatever the number of services that want its frames: every frame is decoded once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from framepilot_app.streams.audience import ReaderStatus, Subscriber
from framepilot_app.streams.live import LiveReader
from framepilot_app.streams.reader import Reader
from framepilot_app.streams.settings import ReaderSettings
from framepilot_app.streams.uri import is_live


class StreamReader(Protocol):
    """What reads one source, whether it comes to an end or not."""

    settings: ReaderSettings

    def start(self) -> None:
        """Begin to read. Once."""

    def stop(self) -> None:
        """Read no more; returns when the source is given back, or will not be."""

    def add(self, subscriber: Subscriber) -> None:
        """Offer it every frame from the next on."""

    def remove(self, subscriber: Subscriber) -> None:
        """Offer it nothing more."""

    @property
    def subscribers(self) -> tuple[Subscriber, ...]:
        """Who is offered the next frame."""

    def status(self) -> ReaderStatus:
        """What the stream does now."""


def make_reader(settings: ReaderSettings, *, hardware: bool = False) -> StreamReader:
    """The reader of a source; `hardware`: live ones are decoded by what the machine has for it, if that works."""
    return LiveReader(settings, hardware=hardware) if is_live(settings.source) else Reader(settings)


@dataclass(eq=False, slots=True)
class Subscription:
    """One service's share in a reader."""

    reader: StreamReader
    subscriber: Subscriber

    def status(self) -> ReaderStatus:
        """What the stream does now."""
        return self.reader.status()


class Hub:
    """Readers by their settings. Used on the event loop; stopping a reader may block and is done beside it."""

    def __init__(self, make_reader: Callable[[ReaderSettings], StreamReader] = make_reader) -> None:
        self._make_reader = make_reader
        self._shared: dict[ReaderSettings, StreamReader] = {}

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
