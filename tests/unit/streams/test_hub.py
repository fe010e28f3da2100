"""The hub: one decode for services that want the same live stream, a reader of its own for a lossless one."""

from __future__ import annotations

import threading

from framepilot_app.streams.hub import Hub
from framepilot_app.streams.settings import ReaderSettings
from support.eventually import eventually

SETTINGS = ReaderSettings("test://96x48?fps=100", realtime=True)


class Subscriber:
    def __init__(self) -> None:
        self.images = []
        self.threads = set()

    def offer(self, image, epoch, sequence, captured_at, captured_unix) -> None:
        self.images.append(image)
        self.threads.add(threading.current_thread().name)

    def ended(self, reason) -> None:
        pass


def test_two_services_on_one_live_stream_share_every_decoded_picture():
    hub = Hub()
    one, other = Subscriber(), Subscriber()
    first = hub.subscribe(SETTINGS, one, lossless=False)
    second = hub.subscribe(SETTINGS, other, lossless=False)
    assert first.reader is second.reader
    eventually(lambda: len(other.images) > 5)
    seen = {id(image) for image in [*one.images]}
    assert all(id(image) in seen for image in other.images[:5])
    assert hub.unsubscribe(first) is None
    received = len(other.images)
    eventually(lambda: len(other.images) > received + 3, "the reader goes on for the other one")
    hub.unsubscribe(second).join(30)


def test_a_lossless_service_has_a_reader_of_its_own():
    hub = Hub()
    live, lossless = Subscriber(), Subscriber()
    first = hub.subscribe(SETTINGS, live, lossless=False)
    second = hub.subscribe(SETTINGS, lossless, lossless=True)
    assert first.reader is not second.reader
    for subscription in (first, second):
        hub.unsubscribe(subscription).join(30)


def test_after_the_last_service_a_new_one_gets_a_fresh_reader():
    hub = Hub()
    first = hub.subscribe(SETTINGS, Subscriber(), lossless=False)
    hub.unsubscribe(first).join(30)
    second = hub.subscribe(SETTINGS, Subscriber(), lossless=False)
    assert second.reader is not first.reader
    hub.unsubscribe(second).join(30)
