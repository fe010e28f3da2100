"""Something of each stream, by service: with a hundred services, who asks for one's does not look at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from framepilot.contract.events import StreamKey

T = TypeVar("T")


class ByService(Generic[T]):
    """Not thread-safe: whoever has it guards it."""

    def __init__(self) -> None:
        # No service without streams is in it.
        self._of: dict[str, dict[StreamKey, T]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __contains__(self, stream: StreamKey) -> bool:
        return stream in self._of.get(stream[0], ())

    def get(self, stream: StreamKey) -> T | None:
        """What is there of a stream, if anything is."""
        return self._of.get(stream[0], {}).get(stream)

    def put(self, stream: StreamKey, value: T) -> T | None:
        """Set it; what was there before."""
        own = self._of.setdefault(stream[0], {})
        before = own.get(stream)
        own[stream] = value
        self._length += before is None
        return before

    def take(self, stream: StreamKey) -> T:
        """Take out what is there.

        Raises:
            KeyError: nothing is.
        """
        own = self._of[stream[0]]
        value = own.pop(stream)
        self._length -= 1
        if not own:
            del self._of[stream[0]]
        return value

    def discard(self, stream: StreamKey) -> None:
        """Take it out, if it is there."""
        if stream in self:
            self.take(stream)

    def items(self, service: str | None = None) -> Iterator[tuple[StreamKey, T]]:
        """Of one service, or of all (None)."""
        if service is not None:
            yield from self._of.get(service, {}).items()
            return
        for own in self._of.values():
            yield from own.items()
