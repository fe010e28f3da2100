"""A module's cost as a function of its budget: what trying everything finds, at any budget."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from framepilot_operator.planning.allocation import fractional_cost
from framepilot_operator.planning.arcs import Shape
from framepilot_operator.planning.curve import ModuleSearch
from framepilot_operator.planning.workload import (
    COLLECTION_RULES,
    CollectionRule,
    Configuration,
    WorkloadModule,
    ranked,
)
from framepilot_operator.planning.workload_file import read_workload
from framepilot_operator.planning.workload_planner import allocation
from support.exhaustive import module_cost
from support.workloads import gpu_workload, workload

MOST_VISITS = 20_000
"""Enough to look at everything."""


def module(seed: int, collection: CollectionRule = "all") -> WorkloadModule:
    rng = random.Random(seed)
    configurations: list[Configuration] = []
    for device in range(rng.randint(1, 2)):
        price, slope, start = rng.uniform(0.2, 3.0), rng.uniform(0.5, 10.0), rng.uniform(1.0, 40.0)
        configurations += [
            Configuration(f"d{device}", price, batch, slope * batch + start, collection=collection)
            for batch in (1, 2, 4)
        ]
    rate = rng.uniform(0.05, 2.0) * rng.choice(configurations).throughput
    return WorkloadModule("m", (), rate, ranked(configurations))


def found(one: WorkloadModule, looseness: float) -> tuple[float, float]:
    """The cost by the search and by trying everything, with so many times the shortest budget."""
    pieces = ModuleSearch(one, 4 * one.least_latency_ms).within(0.0, math.inf, MOST_VISITS)
    budget = looseness * one.least_latency_ms
    cost = min(piece.cost(budget) for piece in pieces if piece.low <= budget * (1 + 1e-12))
    return cost, module_cost(one, budget * (1 + 1e-12))


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**6), st.floats(1.0, 4.0), st.sampled_from(COLLECTION_RULES))
def test_its_cost_at_a_budget_is_what_trying_everything_finds(
    seed: int, looseness: float, collection: CollectionRule
) -> None:
    cost, cheapest = found(module(seed, collection), looseness)
    assert cost == pytest.approx(cheapest, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 0.2))
def test_the_best_plan_at_a_worth_of_time_is_the_best_of_all_pieces(seed: int, worth: float) -> None:
    one = module(seed)
    everything = ModuleSearch(one, 4 * one.least_latency_ms).within(0.0, math.inf, MOST_VISITS)
    priced = ModuleSearch(one, 4 * one.least_latency_ms).price(worth, MOST_VISITS)
    assert priced.reduced(worth) == pytest.approx(min(piece.reduced(worth) for piece in everything), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 3.0), st.floats(1.1, 6.0))
@example(3, 1.0, 1.5)
@example(81, 3.0, 1.1)
def test_the_same_of_many_instances_of_several_devices(seed: int, worth: float, looseness: float) -> None:
    one = read_workload(workload(seed)).modules[0]
    longest_ms = looseness * one.least_latency_ms
    everything = ModuleSearch(one, longest_ms, most_pieces=MOST_VISITS)
    pieces = everything.within(0.0, math.inf, MOST_VISITS)
    priced = ModuleSearch(one, longest_ms, most_pieces=MOST_VISITS)
    priced.price(worth, MOST_VISITS)
    if everything.complete:
        assert priced.floor == pytest.approx(min(piece.reduced(worth) for piece in pieces), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 3.0), st.integers(1, 30))
def test_a_search_that_is_cut_short_knows_what_it_may_have_missed(seed: int, worth: float, most_visits: int) -> None:
    one = read_workload(workload(seed)).modules[0]
    longest_ms = 3 * one.least_latency_ms
    whole, short = ModuleSearch(one, longest_ms), ModuleSearch(one, longest_ms)
    best = whole.price(worth, MOST_VISITS).reduced(worth)
    found = short.price(worth, most_visits).reduced(worth)
    assert short.floor <= best * (1 + 1e-12)
    assert best <= found * (1 + 1e-12)
    if short.complete:
        assert found == pytest.approx(best, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from((workload, gpu_workload)), st.booleans())
def test_greedy_plans_are_made_at_what_their_costs_say(
    seed: int, table: Callable[[int], dict[str, object]], whole: bool
) -> None:
    one = read_workload(table(seed)).modules[0]
    search = ModuleSearch(one, 4 * one.least_latency_ms, "whole" if whole else "fractional")
    budgets = np.geomspace(0.9 * one.least_latency_ms, 5 * one.least_latency_ms, 40)
    costs, dummies = search.costs(budgets)
    for budget, cost, number in zip(budgets.tolist(), costs.tolist(), dummies.tolist(), strict=True):
        made = search.cheapest(budget, number)
        if cost < math.inf:
            assert made is not None
            assert made.low <= budget * (1 + 1e-9)
            assert made.cost(budget) <= cost * (1 + 1e-9)
        else:
            # The first is too short, the last is longer than any budget may be.
            assert made is None or budget < 1.01 * one.least_latency_ms or budget > search.longest_ms


def costs_of_instances(one: WorkloadModule) -> None:
    """Each piece, at some of its budgets, costs what its instances cost."""
    search = ModuleSearch(one, 4 * one.least_latency_ms)
    search.within(0.0, math.inf, 500)
    search.cheapest(2 * one.least_latency_ms, 1)
    for piece in search.pieces:
        for share in (0.0, 0.01, 0.5, 1.0):
            budget = piece.low + share * (piece.high - piece.low)
            assert isinstance(piece.source, Shape)
            instances = allocation(one, piece.source, budget).instances
            assert fractional_cost(instances) == pytest.approx(piece.cost(budget), rel=1e-6), (piece, budget)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from((workload, gpu_workload)))
def test_a_piece_costs_what_its_instances_cost(seed: int, table: Callable[[int], dict[str, object]]) -> None:
    costs_of_instances(read_workload(table(seed)).modules[0])


@pytest.mark.parametrize("rate", [150.0, 173.77, 191.0, 319.5])
def test_the_same_where_two_instances_are_equally_slow_at_first(rate: float) -> None:
    # As a saturated last instance comes to carry less, it is slower than the first, which is as slow as it at first.
    configurations = ranked(Configuration("p4", 0.6, batch, 15.7 * batch) for batch in (1, 2, 3))
    costs_of_instances(WorkloadModule("m", (), rate, configurations))


def test_dummies_make_a_lone_request_as_fast_as_twice_the_batch_duration() -> None:
    one = WorkloadModule("m", (), 1.0, (Configuration("t4", 1.0, 8, 20.0),))
    (piece,) = ModuleSearch(one, 100.0).within(0.0, math.inf, MOST_VISITS)
    assert piece.low == pytest.approx(40.0)
    assert piece.cost(40.0) == pytest.approx(1.0)
    assert piece.cost(100.0) == pytest.approx(1000.0 * 8 / 80.0 / 400.0)


@pytest.mark.parametrize("looseness", [1.0, 1.05, 1.1, 1.2, 2.0])
def test_a_plan_without_the_best_configuration_is_found_where_only_that_is_fast_enough(looseness: float) -> None:
    # One instance of the best leaves the other too few requests to be fast; without it that one is fast on dummies.
    configurations = ranked([Configuration("t4", 1.0, 12, 120.0), Configuration("a100", 10.0, 50, 100.0)])
    cost, cheapest = found(WorkloadModule("m", (), 150.0, configurations), looseness)
    assert cost == pytest.approx(cheapest, rel=1e-9)
