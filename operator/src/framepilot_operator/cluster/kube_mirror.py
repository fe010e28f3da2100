"""What is known of one kind of objects, and what of it has to be read again.

Whoever watches the API server says only *that* something changed; it is then read from the server, so a lost, late or
repeated event can do no harm, and after `RESYNC_S` everything is read again anyway. A few changed objects are read one
by one, many by one list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from framepilot_operator.cluster.kube_api import JsonObject, Kind, KubeApi
from framepilot_operator.manifests.seen import SeenMeta

RESYNC_S: Final = 60.0
MANY: Final = 20
"""From so many changed objects on, a list is cheaper."""


class Held(Protocol):
    """What is kept of an object."""

    @property
    def metadata(self) -> SeenMeta:
        """Its metadata."""


T = TypeVar("T", bound=Held)


async def together(work: Iterable[Awaitable[None]]) -> None:
    """Do all of it at once; what failed is raised when nothing is under way any more.

    Raises:
        ApiError: the first that failed.
    """
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


class Mirror(Generic[T]):
    """The objects of one kind, by `namespace/name`; without a namespace, by `/name`. Used in one event loop."""

    def __init__(
        self, api: KubeApi, kind: Kind, namespaces: Sequence[str], selector: str | None, read: Callable[[JsonObject], T]
    ) -> None:
        """`read` makes of an object what is kept of it; with a selector, objects without that label are not kept."""
        self.kind = kind
        self.objects: dict[str, T] = {}
        self._api = api
        self._namespaces = tuple(namespaces)
        self._selector = selector
        self._read = read
        self._changed: dict[str, str | None] = {}
        self._listed_at: float | None = None

    def changed(self, key: str, version: str | None) -> bool:
        """An object changed, is new or gone; False if its `resourceVersion` is known to be this one already."""
        if self._is_held(key, version):
            return False
        self._changed[key] = version
        return True

    def put(self, manifest: JsonObject) -> T:
        """An object as the API server answered after writing it."""
        held = self._read(manifest)
        self.objects[held.metadata.key] = held
        return held

    async def refresh(self, now: float) -> None:
        """Read what changed; `now` is in seconds.

        Raises:
            ApiError: it could not be read; what is held is as old as it was.
        """
        changed = [key for key, version in self._changed.items() if not self._is_held(key, version)]
        stale = self._listed_at is None or now - self._listed_at >= RESYNC_S
        # What changes from here on is not forgotten: it may come after what is read now.
        self._changed.clear()
        try:
            if stale or len(changed) >= MANY:
                await self._list(now)
            elif changed:
                await together(self._get(key) for key in changed)
        except BaseException:
            self._changed.update(dict.fromkeys(changed))
            raise

    def _is_held(self, key: str, version: str | None) -> bool:
        held = self.objects.get(key)
        return version is not None and held is not None and held.metadata.resource_version == version

    async def _list(self, now: float) -> None:
        listed = [
            self._read(item) async for item in self._api.list(self.kind, self._namespaces, selector=self._selector)
        ]
        self.objects = {held.metadata.key: held for held in listed}
        self._listed_at = now

    async def _get(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        found = await self._api.get(self.kind, namespace, name)
        held = None if found is None else self._read(found)
        if held is None or not self._is_selected(held):
            self.objects.pop(key, None)
        else:
            self.objects[key] = held

    def _is_selected(self, held: T) -> bool:
        if self._selector is None:
            return True
        label, _, value = self._selector.partition("=")
        return held.metadata.labels.get(label) == value
