"""Batches may take more of an objective where little else is done."""

from __future__ import annotations

import pytest

from framepilot.contract.observed import Latencies, ObservedModule
from framepilot_operator.planning.budgets import Node
from framepilot_operator.planning.usable import ENOUGH, MOST_USABLE, USABLE, usable
from support.snapshots import module

NODES = [Node("face", None), Node("age", "face"), Node("gender", "face")]


def running(*names: str, items: int = ENOUGH, pre: float = 0.0, post: float = 0.0) -> dict[str, ObservedModule]:
    found = module(items=items).model_copy(update={"latency_ms": Latencies(pre=pre, post=post, queue=50, infer=50)})
    return {name: found.model_copy(update={"name": name}) for name in names}


def test_what_is_not_known_takes_a_fifth() -> None:
    assert usable(100, NODES, {}) == USABLE
    assert usable(100, NODES, running("face", "age")) == USABLE
    assert usable(100, NODES, running("face", "age", "gender", items=ENOUGH - 1)) == USABLE
    assert usable(100, [], {}) == USABLE


def test_where_nothing_else_takes_time_a_tenth_is_left() -> None:
    assert usable(100, NODES, running("face", "age", "gender")) == MOST_USABLE


def test_what_is_done_before_and_after_the_longest_way_is_taken_off_twice() -> None:
    assert usable(400, NODES, running("face", "age", "gender", pre=3, post=1)) == pytest.approx(MOST_USABLE - 16 / 400)


def test_it_is_never_less_than_where_it_is_not_known() -> None:
    assert usable(100, NODES, running("face", "age", "gender", pre=30)) == USABLE
