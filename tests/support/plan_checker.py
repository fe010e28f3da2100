"""Checks a plan's document against its workload's document, from the statement of the problem alone.

It shares nothing with the planner: it works on what is read from JSON, and computes rates, ranks, loads, latencies and
costs in its own way. `problems` lists what is wrong.
"""

from __future__ import annotations

import math
from functools import cmp_to_key
from typing import Any

NEAR = 1e-7


def problems(workload: dict[str, Any], plan: dict[str, Any]) -> list[str]:
    """What is wrong with a feasible plan."""
    found: list[str] = []
    rates = _rates(workload)
    modules = {module["name"]: module for module in workload["modules"]}
    if set(modules) != {module["name"] for module in plan["modules"]}:
        return ["it has other modules"]
    cost = 0.0
    latency: dict[str, float] = {}
    tenants = _shared_rounds(workload, plan)
    first = 1 if workload.get("collection") == "others" else 0
    for planned in plan["modules"]:
        name = planned["name"]
        instances, more = _instances(modules[name], planned, plan["cost_model"])
        found += [f"{name}: {each}" for each in more]
        if more:
            continue
        if not math.isclose(sum(each["rate"] for each in planned["allocations"]), rates[name], rel_tol=NEAR):
            found.append(f"{name}: the rates do not add up to {rates[name]}")
        total = sum(load for _, load in instances)
        if total < rates[name] * (1 - NEAR):
            found.append(f"{name}: it carries {total}, not {rates[name]}")
        worst, before = 0.0, 0.0
        for position, (configuration, load) in enumerate(instances):
            duration = configuration["latency_ms"]
            if position == len(instances) - 1:
                duration = tenants.get(name, duration)
            worst = max(worst, duration + 1000 * (configuration["batch"] - first) / (total - before))
            before += load
            throughput = 1000 * configuration["batch"] / configuration["latency_ms"]
            if plan["cost_model"] == "fractional":
                cost += configuration["price"] * load / throughput
        latency[name] = worst
        if not math.isclose(worst, planned["latency_ms"], rel_tol=NEAR):
            found.append(f"{name}: its latency is {worst} ms, not {planned['latency_ms']}")
        if plan["cost_model"] == "whole":
            cost += sum(_price(modules[name], each) * each["instances"] for each in planned["allocations"])
    if found:
        return found
    longest = max(_until(name, modules, latency) for name in modules)
    if longest > workload["objective_ms"] * (1 + 1e-9):
        found.append(f"it takes {longest} ms")
    if not math.isclose(longest, plan["latency_ms"], rel_tol=NEAR):
        found.append(f"its latency is {longest} ms, not {plan['latency_ms']}")
    if not math.isclose(cost, plan["cost"], rel_tol=NEAR):
        found.append(f"it costs {cost}, not {plan['cost']}")
    return found


def _rates(workload: dict[str, Any]) -> dict[str, float]:
    modules = {module["name"]: module for module in workload["modules"]}

    def rate(name: str) -> float:
        module = modules[name]
        if module.get("rate") is not None:
            return module["rate"]
        return module.get("items_per_input", 1) * rate(module["inputs"][0])

    return {name: rate(name) for name in modules}


def _rank(module: dict[str, Any]) -> list[dict[str, Any]]:
    def value(configuration: dict[str, Any]) -> float:
        return configuration["batch"] / configuration["latency_ms"] / configuration["price"]

    def order(one: dict[str, Any], other: dict[str, Any]) -> int:
        if not math.isclose(value(one), value(other), rel_tol=1e-9):
            return -1 if value(one) > value(other) else 1
        keys = [(-each["latency_ms"], -each["batch"], each["device"]) for each in (one, other)]
        return -1 if keys[0] < keys[1] else 1

    return sorted(module["configurations"], key=cmp_to_key(order))


def _instances(
    module: dict[str, Any], planned: dict[str, Any], cost_model: str
) -> tuple[list[tuple[dict[str, Any], float]], list[str]]:
    """Its instances in rank order with their loads: all saturated but the last of all."""
    ranked = _rank(module)
    places = {(each["device"], each["batch"]): position for position, each in enumerate(ranked)}
    allocations = planned["allocations"]
    order = [places[each["device"], each["batch"]] for each in allocations]
    if order != sorted(set(order)):
        return [], ["its allocations are not in rank order, or one is there twice"]
    instances: list[tuple[dict[str, Any], float]] = []
    for position, each in enumerate(allocations):
        configuration = ranked[places[each["device"], each["batch"]]]
        throughput = 1000 * configuration["batch"] / configuration["latency_ms"]
        load = each["rate"] + each["dummy_rate"]
        if min(each["rate"], each["dummy_rate"]) < 0 or load <= 0:
            return [], ["a rate is negative, or an allocation has no load"]
        if cost_model == "fractional" and not math.isclose(each["instances"], load / throughput, rel_tol=NEAR):
            return [], [f"{each['instances']} instances do not carry {load}"]
        number = load / throughput
        full = round(number) if math.isclose(number, round(number), rel_tol=NEAR) else math.floor(number)
        rest = load - full * throughput
        if full == 0 or rest > throughput * NEAR:
            if position < len(allocations) - 1:
                return [], ["an instance before the last is not saturated"]
            instances += [(configuration, throughput)] * full + [(configuration, rest)]
        else:
            instances += [(configuration, throughput)] * full
        paid = full + (rest > throughput * NEAR) - ("shared_with" in each)
        if cost_model == "whole" and each["instances"] != paid:
            return [], [f"{each['instances']} instances are paid for, not {paid}"]
    return instances, []


def _shared_rounds(workload: dict[str, Any], plan: dict[str, Any]) -> dict[str, float]:
    """How long a round takes on the shared instance that holds a module's last instance, where there is one.

    Raises:
        AssertionError: a shared instance holds what it cannot hold.
    """
    modules = {module["name"]: module for module in workload["modules"]}
    planned = {module["name"]: module for module in plan["modules"]}
    groups: dict[str, list[str]] = {}
    for name, module in planned.items():
        host = module["allocations"][-1].get("shared_with")
        if host is not None:
            groups.setdefault(host, [host]).append(name)
    rounds: dict[str, float] = {}
    for names in groups.values():
        lasts = [_instances(modules[name], planned[name], plan["cost_model"])[0][-1] for name in names]
        assert len({configuration["device"] for configuration, _ in lasts}) == 1
        length = sum(configuration["latency_ms"] for configuration, _ in lasts)
        assert sum(load * each["latency_ms"] / 1000 / each["batch"] for each, load in lasts) <= 1 + NEAR
        assert all(length <= 1000 * each["batch"] / load * (1 + NEAR) for each, load in lasts)
        memory = {each["device"]: each["memory_mb"] for each in workload.get("devices", [])}
        common = {each["stem"]: each["stem_mb"] for each, _ in lasts if "stem" in each}
        heads = sum((each.get("memory_mb") or 0) - each.get("stem_mb", 0) for each, _ in lasts)
        free = 0.1 if workload.get("headroom") is None else workload["headroom"]
        usable = memory.get(lasts[0][0]["device"], math.inf) * (1 - free)
        assert heads + sum(common.values()) <= usable * (1 + NEAR)
        rounds |= dict.fromkeys(names, length)
    return rounds


def _price(module: dict[str, Any], allocation: dict[str, Any]) -> float:
    return next(each["price"] for each in module["configurations"] if each["device"] == allocation["device"])


def _until(name: str, modules: dict[str, Any], latency: dict[str, float]) -> float:
    return latency[name] + max(
        (_until(each, modules, latency) for each in modules[name].get("inputs") or []), default=0
    )
