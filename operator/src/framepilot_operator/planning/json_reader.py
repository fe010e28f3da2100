"""Takes a parsed JSON document apart: what is missing or of the wrong kind is refused with its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import NoReturn


class JsonReader:
    """Refuses with errors of one class; each ends with the `remedy`, if there is one for all. `known` are the fields of
    each kind of object."""

    def __init__(
        self, error: type[ValueError], remedy: str = "", known: Mapping[str, Collection[str]] | None = None
    ) -> None:
        self._error = error
        self._remedy = remedy
        self._known = known or {}

    def refuse(self, place: str, problem: str) -> NoReturn:
        """Say what is wrong, and where; the place of the whole document is empty."""
        sentence = f"{place}: {problem}" if place else problem
        raise self._error(f"{sentence}; {self._remedy}" if self._remedy else sentence)

    def fields(self, document: object, place: str, what: str) -> Mapping[str, object]:
        """The fields of an object. What else it has is its own affair, but a misspelt field would be a silent default:
        one that is nearly a known one is refused."""
        if not isinstance(document, dict):
            self.refuse(place, f"{what} is an object, not {document!r:.40}")
        known = self._known.get(what, ())
        for each in sorted(document.keys() - set(known)):
            meant = get_close_matches(each, known, 1, 0.8)
            if meant:
                self.refuse(place, f"{what} has no field '{each:.40}'; is `{meant[0]}` meant?")
        return document

    def list_of(self, fields: Mapping[str, object], name: str, place: str) -> list[object]:
        """A field that is a list."""
        value = fields.get(name)
        if not isinstance(value, list):
            problem = "is missing; give a list" if value is None else f"it must be a list, not {value!r:.40}"
            self.refuse(at(place, name), problem)
        return value

    def text(self, fields: Mapping[str, object], name: str, place: str) -> str:
        """A field that is a name."""
        value = fields.get(name)
        if not isinstance(value, str) or not value.strip():
            self.refuse(at(place, name), f"it must be a name, not {value!r:.40}")
        return value

    def whole(self, fields: Mapping[str, object], name: str, place: str, most: float) -> int:
        """A field that is a whole number from 1."""
        value = fields.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            self.refuse(at(place, name), f"it must be a whole number from 1, not {value!r:.40}")
        return value

    def number(self, fields: Mapping[str, object], name: str, place: str, least: float, most: float) -> float:
        """A field that is a number between two others."""
        value = fields.get(name)
        if value is None:
            self.refuse(at(place, name), "is missing; give a number")
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(at(place, name), f"it must be a number, not {value!r:.40}")
        # Also refuses NaN, which is no more and no less than anything.
        if not least <= value <= most:
            self.refuse(at(place, name), f"it must be a number from {least:g} to {most:g}, not {value!r:.40}")
        return float(value)


def at(place: str, name: str) -> str:
    """The place of a field."""
    return f"{place}.{name}" if place else name
