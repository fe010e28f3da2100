"""Writes to standard output: services, once or at every change, as a table or as the resources themselves; and what
was found of something, as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from rich.console import Console, RenderableType
from rich.live import Live

from framepilot_operator.commands.service_view import Json, view
from framepilot_operator.commands.status_table import render

# So wide that no line of a file or pipe is folded.
UNFOLDED: Final = 10_000

Services = Mapping[str, Json]
Show = Callable[[Services], None]


class Output(StrEnum):
    """How services are written."""

    TABLE = "table"
    JSON = "json"


@contextmanager
def on_screen(*, again: bool) -> Iterator[Callable[[RenderableType], None]]:
    """A way to show something to a person; `again`: on a terminal each takes the place of the one before."""
    if again and sys.stdout.isatty():
        with Live(auto_refresh=False) as live:
            yield lambda shown: live.update(shown, refresh=True)
    else:
        yield Console(width=None if sys.stdout.isatty() else UNFOLDED).print


@contextmanager
def shown(output: Output, *, one: bool, again: bool) -> Iterator[Show]:
    """A way to show services; `one`: a single one was asked for, `again`: every change will be shown."""
    if output is Output.JSON:
        yield _changes_as_json() if again else lambda services: _print(_document(services, one=one), indent=2)
    else:
        with on_screen(again=again) as show:
            yield lambda services: show(_table(services))


def as_json(found: Mapping[str, object]) -> str:
    """What was found, with names of fields as everywhere in JSON."""
    return json.dumps(_camel(found), default=_dumped)


def _camel(found: object) -> object:
    if isinstance(found, Mapping):
        return {to_camel(name): _camel(value) for name, value in found.items()}
    return [_camel(each) for each in found] if isinstance(found, list | tuple) else found


def _dumped(part: BaseModel) -> object:
    return part.model_dump()


def _table(services: Services) -> RenderableType:
    return render([view(services[key]) for key in sorted(services)])


def _document(services: Services, *, one: bool) -> Json:
    """The resource that was asked for, or a List as kubectl writes it."""
    items = [_without_writers(services[key]) for key in sorted(services)]
    return items[0] if one and items else {"apiVersion": "v1", "kind": "List", "items": list(items)}


def _changes_as_json() -> Show:
    """Each service that is not as it was, in a line of its own."""
    before: Services = {}

    def show(services: Services) -> None:
        nonlocal before
        for key in sorted(services):
            if before.get(key) != services[key]:
                _print(_without_writers(services[key]), indent=None)
        before = services

    return show


def _without_writers(document: Json) -> Json:
    metadata = document["metadata"]
    if not isinstance(metadata, dict):
        return document
    return {**document, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _print(document: Json, indent: int | None) -> None:
    sys.stdout.write(json.dumps(document, indent=indent, ensure_ascii=False) + "\n")
    sys.stdout.flush()
