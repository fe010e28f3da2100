"""Reads what runs from a plan's JSON, as `framepilot plan --workload W.json -o json` printed it: one plan or a list.

A plan says how many instances it pays for: of fractions, the last one is an instance too, and so is one that another
module pays for.
"""

from __future__ import annotations

import json
import math
from typing import Final

from framepilot_operator.planning.json_reader import JsonReader, at
from framepilot_operator.planning.moves import Place, Running

MOST: Final = 1e9
ROUNDING: Final = 1e-9
"""Relative difference to a whole number that sums of loads make."""
REMEDY: Final = "give what `framepilot plan --workload … -o json` printed"


class PreviousPlanError(ValueError):
    """No plan: where, what is wrong, what to do."""


_READ: Final = JsonReader(PreviousPlanError, REMEDY)


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
    plan = _READ.fields(document, place, "a plan")
    running = Running()
    names: set[str] = set()
    for index, each in enumerate(_READ.list_of(plan, "modules", place)):
        where = f"{at(place, 'modules')}[{index}]"
        module = _READ.fields(each, where, "a module")
        name = _READ.text(module, "name", where)
        if name in names:
            _READ.refuse(where, f"module '{name}' is there twice")
        names.add(name)
        for number, allocation in enumerate(_READ.list_of(module, "allocations", where)):
            _add(running, name, allocation, f"{at(where, 'allocations')}[{number}]")
    return running


def _add(running: Running, module: str, document: object, place: str) -> None:
    fields = _READ.fields(document, place, "an allocation")
    device, batch = _READ.text(fields, "device", place), _READ.whole(fields, "batch", place, MOST)
    instances = _READ.number(fields, "instances", place, 0.0, MOST)
    running[Place(module, device, batch)] += math.ceil(instances * (1 - ROUNDING))
    if fields.get("shared_with") is not None:
        running[Place(module, device, batch, _READ.text(fields, "shared_with", place))] += 1
