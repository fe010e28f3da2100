"""The services that a command line asks for, and which of them are in a session of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from framepilot_operator.commands.context_error import ContextError
from framepilot_operator.commands.place import Place, sessions
from framepilot_operator.commands.service_view import Json
from framepilot_operator.commands.session_services import read_sessions


@dataclass(frozen=True, slots=True)
class Asked:
    """Which services are asked for; None: whatever they are called, wherever they are."""

    service: str | None
    namespace: str | None

    @property
    def what(self) -> str:
        """What a place must have, as the end of a sentence."""
        if self.service is not None:
            return f"has a service '{self.service}'"
        return "has services" + ("" if self.namespace is None else f" in namespace '{self.namespace}'")

    def of(self, services: Mapping[str, Json]) -> dict[str, Json]:
        """Those of a session's services that are meant; a name alone means the namespace `default`."""
        if self.service is not None:
            key = self.service if "/" in self.service else f"default/{self.service}"
            return {key: services[key]} if key in services else {}
        return {key: found for key, found in services.items() if self.means(key)}

    def means(self, key: str) -> bool:
        """Whether the service `<namespace>/<name>` is asked for; a name alone may be in any namespace."""
        namespace, _, name = key.partition("/")
        if self.service is not None:
            return self.service in {key, name}
        return self.namespace in {None, namespace}

    def here(self, place: Place | None) -> dict[str, Json]:
        """Those that sessions have; none where a context is to be asked.

        Raises:
            ContextError: only sessions can be meant, and none has any.
        """
        found = {} if place is Place.CONTEXT else self.of(read_sessions(sessions()))
        if place is Place.SESSION and not found:
            raise ContextError(f"no running `framepilot up` {self.what}")
        return found
