"""Reads workloads from their JSON: what makes no sense is refused with its place and what to do, before any planning.

A document is one workload or a list. Numbers lie within `SMALLEST` and `LARGEST`, so that no sum of them overflows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from framepilot.scheduling.headroom import HEADROOM, MOST_HEADROOM
from framepilot_operator.planning.json_reader import JsonReader, at
from framepilot_operator.planning.workload import (
    COLLECTION_RULES,
    EQUAL,
    CollectionRule,
    Configuration,
    Workload,
    WorkloadModule,
    ranked,
)

SMALLEST: Final = 1e-9
LARGEST: Final = 1e9
MOST_MODULES: Final = 1000
MOST_CONFIGURATIONS: Final = 1000

KNOWN: Final = {
    "a workload": {"name", "objective_ms", "collection", "modules", "devices", "headroom"},
    "a module": {"name", "inputs", "rate", "items_per_input", "configurations"},
    "a configuration": {"device", "price", "batch", "latency_ms", "memory_mb", "stem", "stem_mb"},
    "a device": {"device", "memory_mb"},
}


class WorkloadError(ValueError):
    """A workload that makes no sense: where, what is wrong, what to do."""


_READ: Final = JsonReader(WorkloadError, known=KNOWN)


def parse_workloads(text: str) -> tuple[tuple[Workload, ...], bool]:
    """The workloads of a JSON document, and whether it is a list of them.

    Raises:
        WorkloadError: it is no JSON, or one of them makes no sense.
    """
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WorkloadError(f"it is no JSON: {error}") from error
    if not isinstance(document, list):
        return (read_workload(document, ""),), False
    if not document:
        _READ.refuse("", "the list of workloads is empty; give at least one")
    return tuple(read_workload(each, f"[{index}]") for index, each in enumerate(document)), True


def read_workload(document: object, place: str = "") -> Workload:
    """One workload from its parsed JSON; `place` is where it stands, for errors.

    Raises:
        WorkloadError: it makes no sense.
    """
    fields = _READ.fields(document, place, "a workload")
    objective_ms = _number(fields, "objective_ms", place)
    collection = _collection(fields, place)
    raw = _READ.list_of(fields, "modules", place)
    if not raw:
        _READ.refuse(at(place, "modules"), "there is no module; give at least one")
    if len(raw) > MOST_MODULES:
        _READ.refuse(at(place, "modules"), f"there are {len(raw)} modules; give at most {MOST_MODULES}")
    sketches: dict[str, _Sketch] = {}
    for index, each in enumerate(raw):
        sketch = _Sketch(each, f"{at(place, 'modules')}[{index}]", collection)
        if sketch.name in sketches:
            _READ.refuse(sketch.place, f"the name '{sketch.name}' is taken by another module; names are unique")
        sketches[sketch.name] = sketch
    _check_prices(sketches.values())
    _check_stems(sketches.values())
    modules: dict[str, WorkloadModule] = {}
    for sketch in _in_order(sketches, at(place, "modules")):
        modules[sketch.name] = sketch.module(modules)
    return Workload(objective_ms, tuple(modules.values()), _memory(fields, place), _headroom(fields, place))


class _Sketch:
    """A module as it is written, before the rates of its inputs are known."""

    def __init__(self, document: object, place: str, collection: CollectionRule) -> None:
        fields = _READ.fields(document, place, "a module")
        self.place = place
        self.name = _READ.text(fields, "name", place)
        self.inputs = self._inputs(fields)
        self.rate = None if fields.get("rate") is None else _number(fields, "rate", place)
        given = fields.get("items_per_input") is not None
        self.items_per_input = _number(fields, "items_per_input", place) if given else 1.0
        self.configurations = self._configurations(fields, collection)

    def _inputs(self, fields: Mapping[str, object]) -> tuple[str, ...]:
        if fields.get("inputs") is None:
            return ()
        place = at(self.place, "inputs")
        inputs: list[str] = []
        for each in _READ.list_of(fields, "inputs", self.place):
            if not isinstance(each, str):
                _READ.refuse(place, f"{each!r:.40} is no name of a module")
            if each in inputs:
                _READ.refuse(place, f"'{each}' is named twice; name each input once")
            inputs.append(each)
        return tuple(inputs)

    def _configurations(self, fields: Mapping[str, object], collection: CollectionRule) -> tuple[Configuration, ...]:
        place = at(self.place, "configurations")
        raw = _READ.list_of(fields, "configurations", self.place)
        if not raw:
            _READ.refuse(place, f"module '{self.name}' has none, so it can run on nothing; give at least one")
        if len(raw) > MOST_CONFIGURATIONS:
            _READ.refuse(place, f"there are {len(raw)}; give at most {MOST_CONFIGURATIONS}")
        configurations = [_configuration(each, f"{place}[{index}]", collection) for index, each in enumerate(raw)]
        seen: set[tuple[str, int]] = set()
        for index, each in enumerate(configurations):
            if (each.device, each.batch) in seen:
                _READ.refuse(
                    f"{place}[{index}]", f"device '{each.device}' with batch {each.batch} is there twice; keep one"
                )
            seen.add((each.device, each.batch))
        return ranked(configurations)

    def module(self, before: Mapping[str, WorkloadModule]) -> WorkloadModule:
        return WorkloadModule(self.name, self.inputs, self._rate(before), self.configurations, self.items_per_input)

    def _rate(self, before: Mapping[str, WorkloadModule]) -> float:
        if self.rate is not None:
            return self.rate
        if not self.inputs:
            _READ.refuse(
                self.place, f"module '{self.name}' has no inputs, so its rate follows from nothing; give `rate`"
            )
        rates = [before[each].rate for each in self.inputs]
        if max(rates) - min(rates) > EQUAL * max(rates):
            listed = ", ".join(f"'{each}' {before[each].rate:g}/s" for each in self.inputs)
            _READ.refuse(
                self.place,
                f"the inputs of '{self.name}' have unequal rates ({listed}); a join waits for all: give `rate`",
            )
        rate = self.items_per_input * max(rates)
        if not SMALLEST <= rate <= LARGEST:
            _READ.refuse(
                self.place, f"the rate of '{self.name}' comes to {rate:g}/s; it must be {SMALLEST:g} to {LARGEST:g}"
            )
        return rate


def _in_order(sketches: Mapping[str, _Sketch], place: str) -> list[_Sketch]:
    """Each module after its inputs."""
    for sketch in sketches.values():
        for each in sketch.inputs:
            if each not in sketches:
                _READ.refuse(at(sketch.place, "inputs"), f"there is no module '{each}'")
    ordered: list[_Sketch] = []
    done: set[str] = set()
    waiting = list(sketches.values())
    while waiting:
        ready = [sketch for sketch in waiting if done.issuperset(sketch.inputs)]
        if not ready:
            names = ", ".join(f"'{sketch.name}'" for sketch in waiting)
            _READ.refuse(place, f"there is a cycle: of {names} none can be first; remove one of their inputs")
        ordered += ready
        done.update(sketch.name for sketch in ready)
        waiting = [sketch for sketch in waiting if sketch.name not in done]
    return ordered


def _configuration(document: object, place: str, collection: CollectionRule) -> Configuration:
    fields = _READ.fields(document, place, "a configuration")
    memory_mb = None if fields.get("memory_mb") is None else _number(fields, "memory_mb", place, least=0.0)
    stem, stem_mb = _stem(fields, memory_mb, place)
    return Configuration(
        _READ.text(fields, "device", place),
        _number(fields, "price", place),
        _READ.whole(fields, "batch", place, LARGEST),
        _number(fields, "latency_ms", place),
        memory_mb,
        collection,
        stem,
        stem_mb,
    )


def _stem(fields: Mapping[str, object], memory_mb: float | None, place: str) -> tuple[str | None, float]:
    """What it has in common with other modules, and how much of its memory that is."""
    if fields.get("stem") is None and fields.get("stem_mb") is None:
        return None, 0.0
    stem, stem_mb = _READ.text(fields, "stem", place), _number(fields, "stem_mb", place, least=0.0)
    if stem_mb > (memory_mb or 0.0):
        _READ.refuse(at(place, "stem_mb"), f"{stem_mb:g} MB are more than all of it has: `memory_mb` is {memory_mb}")
    return stem, stem_mb


def _collection(fields: Mapping[str, object], place: str) -> CollectionRule:
    value = fields.get("collection")
    known = next((each for each in COLLECTION_RULES if each == value), None)
    if value is not None and known is None:
        _READ.refuse(at(place, "collection"), f"it must be {' or '.join(COLLECTION_RULES)}, not {value!r:.40}")
    return known or "all"


def _check_prices(sketches: Iterable[_Sketch]) -> None:
    prices: dict[str, float] = {}
    for sketch in sketches:
        for each in sketch.configurations:
            if prices.setdefault(each.device, each.price) != each.price:
                _READ.refuse(
                    sketch.place,
                    f"device '{each.device}' costs {each.price:g} here and {prices[each.device]:g} elsewhere; "
                    "a device has one price",
                )


def _check_stems(sketches: Iterable[_Sketch]) -> None:
    stems: dict[tuple[str, str], float] = {}
    for sketch in sketches:
        for each in sketch.configurations:
            if each.stem is None:
                continue
            known = stems.setdefault((each.device, each.stem), each.stem_mb)
            if known != each.stem_mb:
                _READ.refuse(
                    sketch.place,
                    f"stem '{each.stem}' takes {each.stem_mb:g} MB of device '{each.device}' here and {known:g} "
                    "elsewhere; a stem is the same for all that have it",
                )


def _memory(fields: Mapping[str, object], place: str) -> dict[str, float]:
    """How much memory the device classes have, where it is given."""
    memory_mb: dict[str, float] = {}
    if fields.get("devices") is None:
        return memory_mb
    for index, each in enumerate(_READ.list_of(fields, "devices", place)):
        where = f"{at(place, 'devices')}[{index}]"
        device = _READ.fields(each, where, "a device")
        name = _READ.text(device, "device", where)
        if name in memory_mb:
            _READ.refuse(where, f"device '{name}' is there twice; keep one")
        memory_mb[name] = _number(device, "memory_mb", where)
    return memory_mb


def _headroom(fields: Mapping[str, object], place: str) -> float:
    """The share of an instance's memory that stays free."""
    if fields.get("headroom") is None:
        return HEADROOM
    return _READ.number(fields, "headroom", place, 0.0, MOST_HEADROOM)


def _number(fields: Mapping[str, object], name: str, place: str, least: float = SMALLEST) -> float:
    return _READ.number(fields, name, place, least, LARGEST)
