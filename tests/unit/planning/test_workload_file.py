"""Workloads that make no sense are refused with their place, and nothing else happens."""

# ruff: noqa: ARG005
from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from framepilot_operator.planning.workload_file import WorkloadError, parse_workloads, read_workload

GOOD: dict[str, Any] = {
    "objective_ms": 300,
    "modules": [
        {
            "name": "a",
            "inputs": [],
            "rate": 120.0,
            "configurations": [{"device": "t4", "price": 0.35, "batch": 8, "latency_ms": 24.0, "memory_mb": 900}],
        },
        {
            "name": "b",
            "inputs": ["a"],
            "items_per_input": 2.5,
            "configurations": [{"device": "t4", "price": 0.35, "batch": 8, "latency_ms": 24.0}],
        },
    ],
}


def broken(change: Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], object]) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    change(document, document["modules"][0], document["modules"][0]["configurations"][0])
    return document


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w, m, c: w.update(objective_ms=float("nan")), "objective_ms"),
        (lambda w, m, c: w.update(objective_ms=-1), "objective_ms"),
        (lambda w, m, c: w.update(objective_ms=10**400), "1000000"),
        (lambda w, m, c: w.update(modules=[]), "at least one"),
        (lambda w, m, c: w.update(modules={}), "a list"),
        (lambda w, m, c: w.update(collection="none"), "collection: it must be all or others"),
        (lambda w, m, c: w.update(collection=["all"]), "collection"),
        (lambda w, m, c: m.update(rate=0), "modules[0].rate"),
        (lambda w, m, c: m.update(rate=float("nan")), "modules[0].rate"),
        (lambda w, m, c: m.update(rate="fast"), "a number"),
        (lambda w, m, c: m.update(rate=True), "a number"),
        (lambda w, m, c: m.pop("rate"), "give `rate`"),
        (lambda w, m, c: m.update(name="b"), "taken"),
        (lambda w, m, c: m.update(inputs=["b"]), "cycle"),
        (lambda w, m, c: m.update(inputs=["x"]), "no module 'x'"),
        (lambda w, m, c: m.update(configurations=[]), "at least one"),
        (lambda w, m, c: m.update(configurations=[c, dict(c, latency_ms=3)]), "twice"),
        (lambda w, m, c: m.update(configurations=[c, dict(c, batch=1, price=3)]), "one price"),
        (lambda w, m, c: c.update(price=0.5), "one price"),
        (lambda w, m, c: c.update(batch=1.5), "whole number"),
        (lambda w, m, c: c.update(batch=0), "whole number"),
        (lambda w, m, c: c.update(latency_ms=0), "latency_ms"),
        (lambda w, m, c: c.update(latency_ms=1e300), "latency_ms"),
        (lambda w, m, c: c.update(price=float("inf")), "price"),
        (lambda w, m, c: c.update(stem="s"), "stem_mb: is missing"),
        (lambda w, m, c: c.update(stem_mb=1), "stem: it must be a name"),
        (lambda w, m, c: c.update(stem="s", stem_mb=901), "more than all of it"),
        (lambda w, m, c: m.update(configurations=[dict(c, stem="s", stem_mb=1), dict(c, batch=1, stem="s", stem_mb=2)]),
         "the same for all"),
        (lambda w, m, c: w.update(headroom=0.95), "headroom: it must be a number from 0 to 0.9"),
        (lambda w, m, c: w.update(headroom=-0.1), "headroom: it must be a number"),
        (lambda w, m, c: m.update(item_per_input=2), "`items_per_input` meant"),
        (lambda w, m, c: w["modules"].append(dict(m, name="c", inputs=["a", "b"], rate=None)), "unequal rates"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_its_place(
    change: Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], object], said: str
) -> None:
    with pytest.raises(WorkloadError) as refusal:
        read_workload(broken(change))
    assert said in str(refusal.value)


def test_rates_follow_from_the_inputs_in_any_order_of_writing() -> None:
    workload = read_workload(GOOD | {"modules": GOOD["modules"][::-1]})
    assert [(module.name, module.rate) for module in workload.modules] == [("a", 120.0), ("b", 300.0)]


def test_a_workload_says_what_its_batches_wait_for() -> None:
    def awaited(document: dict[str, Any]) -> set[int]:
        return {each.awaited for module in read_workload(document).modules for each in module.configurations}

    assert awaited(GOOD) == awaited(GOOD | {"collection": None}) == awaited(GOOD | {"collection": "all"}) == {8}
    assert awaited(GOOD | {"collection": "others"}) == {7}


def test_a_workload_says_how_much_of_an_instances_memory_stays_free() -> None:
    def usable_mb(**fields: object) -> float:
        return read_workload(GOOD | {"devices": [{"device": "t4", "memory_mb": 1000}]} | fields).usable_mb("t4")

    assert usable_mb() == usable_mb(headroom=None) == 900
    assert usable_mb(headroom=0) == 1000
    assert usable_mb(devices=None) == math.inf


def test_a_list_says_which_of_them_is_wrong() -> None:
    with pytest.raises(WorkloadError, match=r"^\[1\]\.objective_ms"):
        parse_workloads(json.dumps([GOOD, GOOD | {"objective_ms": 0}]))


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(WorkloadError, match="no JSON"):
        parse_workloads("{")
    with pytest.raises(WorkloadError, match="no JSON"):
        parse_workloads("[" * 100_000)
