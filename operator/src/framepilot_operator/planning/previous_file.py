"""Reads what runs from a plan's JSON, as `framepilot plan --workload W.json -o json` printed it: one plan or a list.

A plan says how many instances it pays for: of fractions, the last one is an instance too, and so is one that another
module pays for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Final, NoReturn

from framepilot_operator.planning.moves import Place, Running

MOST: Final = 1e9
ROUNDING: Final = 1e-9
"""Relative difference to a whole number that sums of loads make."""
REMEDY: Final = "give what `framepilot plan --workload … -o json` printed"


class PreviousPlanError(ValueError):
    """No plan: where, what is wrong, what to do."""


def parse_previous(text: str) -> tuple[Running, ...]:
    """What runs by each plan of a JSON document; nothing, by one that is infeasible.

    Raises:
        PreviousPlanError: it is no JSON, or holds what is no plan.
    """
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PreviousPlanError(f"it is no JSON ({error}); {REMEDY}") from error
    if not isinstance(document, list):
        return (_plan(document, ""),)
    return tuple(_plan(each, f"[{index}]") for index, each in enumerate(document))


def _plan(document: object, place: str) -> Running:
    plan = _object(document, place, "a plan")
    running = Running()
    names: set[str] = set()
    for index, each in enumerate(_list(plan, "modules", place)):
        where = f"{_at(place, 'modules')}[{index}]"
        module = _object(each, where, "a module")
        name = _text(module, "name", where)
        if name in names:
            _refuse(where, f"module '{name}' is there twice")
        names.add(name)
        for number, allocation in enumerate(_list(module, "allocations", where)):
            _add(running, name, allocation, f"{_at(where, 'allocations')}[{number}]")
    return running


def _add(running: Running, module: str, document: object, place: str) -> None:
    fields = _object(document, place, "an allocation")
    device, batch, instances = _text(fields, "device", place), fields.get("batch"), fields.get("instances")
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        _refuse(_at(place, "batch"), f"it is a whole number from 1, not {batch!r:.40}")
    # Also refuses NaN, which is no more and no less than anything.
    if isinstance(instances, bool) or not isinstance(instances, int | float) or not 0 <= instances <= MOST:
        _refuse(_at(place, "instances"), f"it is a number from 0 to {MOST:g}, not {instances!r:.40}")
    running[Place(module, device, batch)] += math.ceil(instances * (1 - ROUNDING))
    if fields.get("shared_with") is not None:
        running[Place(module, device, batch, _text(fields, "shared_with", place))] += 1


def _object(document: object, place: str, what: str) -> Mapping[str, object]:
    if not isinstance(document, dict):
        _refuse(place, f"{what} is an object, not {document!r:.40}")
    return document


def _list(fields: Mapping[str, object], name: str, place: str) -> list[object]:
    value = fields.get(name)
    if not isinstance(value, list):
        _refuse(_at(place, name), "is missing" if value is None else f"it is a list, not {value!r:.40}")
    return value


def _text(fields: Mapping[str, object], name: str, place: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        _refuse(_at(place, name), f"it is a name, not {value!r:.40}")
    return value


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _refuse(place: str, problem: str) -> NoReturn:
    raise PreviousPlanError(f"{place}: {problem}; {REMEDY}" if place else f"{problem}; {REMEDY}")
