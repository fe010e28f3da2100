"""A discrete-event simulation of a plan: the batcher and the dispatch policy are those that serve.

Requests of a module are numbered. If it gets x requests for each one of an input, request n is there as soon as request
floor(n / x) of that input is done, for every input: that is fan-out and join in one rule. Modules without inputs that
have equal rates see the same frames. A tenant of a shared instance is simulated as if a round of all tenants were its
own batch, which is the worst that sharing does to it.

Events are the ends of batches, and moments at which a batch that is not full has to start; arrivals come from a sorted
list. So a batch costs a few steps, however many requests it has.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from random import Random
from typing import Final

from framepilot.scheduling.dispatch import Dispatcher, Send, Slot
from framepilot_operator.planning.allocation import ModuleAllocation, WorkloadPlan, path_latency_ms
from framepilot_operator.planning.simulation.arrivals import Arrivals
from framepilot_operator.planning.simulation.outcome import Outcome, SimulatedModule, latencies
from framepilot_operator.planning.simulation.service_times import ServiceTimes, exact
from framepilot_operator.planning.workload import EQUAL, Workload, WorkloadModule

WARM_UP: Final = 0.1
"""Share of the time in which what arrives is not counted: everything is empty at first."""
HOPELESS_S: Final = 30.0
"""A module whose oldest request waits that long, and ten budgets, will not recover."""
CLOSE: Final = 1e-9

_ARRIVAL, _END, _TIMER = 0, 1, 2


def simulate(
    workload: Workload,
    plan: WorkloadPlan,
    arrivals: Arrivals,
    seconds: float,
    random: Random,
    service_times: ServiceTimes = exact,
) -> Outcome:
    """Runs a feasible plan of a workload for some simulated seconds, and then until everything is done."""
    return _Simulation(workload, plan, seconds, random, service_times).run(arrivals)


class _Station:
    """One module: its queue and its instances."""

    def __init__(self, module: WorkloadModule, allocation: ModuleAllocation, inputs: Sequence[_Station]) -> None:
        self.name = module.name
        self.rate: float = module.rate
        self.allocation = allocation
        self.inputs = tuple(inputs)
        self.followers: list[tuple[_Station, float]] = []
        for each in inputs:
            ratio = module.rate / each.rate
            each.followers.append((self, 1.0 if abs(ratio - 1) <= EQUAL else ratio))
        self.slots = tuple(
            Slot(each.configuration.batch, each.duration_ms / 1000, each.load) for each in allocation.instances
        )
        # What arrives at the very moment up to which its batch waits is part of it, also after rounding.
        budget_s = max(allocation.budget_ms, allocation.latency_ms) / 1000 * (1 + 0.1 * CLOSE)
        self.hopeless_s = max(HOPELESS_S, 10 * budget_s)
        self.dispatcher = Dispatcher(self.slots, budget_s, 0.0)
        self.arrived: list[float] = []
        self.items: list[tuple[int, float]] = []
        """Number and birth of each request that waits, beside its arrival."""
        self.joining: dict[int, tuple[int, float]] = {}
        """Of requests that some inputs are done for: how many, and the latest birth."""
        self.ask_at = math.inf
        self.enough = 1
        self.batches = [0] * len(self.slots)
        self.dummies = 0
        self.latencies_s: list[float] = []


class _Simulation:
    def __init__(
        self, workload: Workload, plan: WorkloadPlan, seconds: float, random: Random, service_times: ServiceTimes
    ) -> None:
        self.workload = workload
        self.seconds = seconds
        self.random = random
        self.service_times = service_times
        allocations = {each.name: each for each in plan.modules}
        self.stations: dict[str, _Station] = {}
        for module in workload.modules:
            inputs = [self.stations[name] for name in module.inputs]
            self.stations[module.name] = _Station(module, allocations[module.name], inputs)
        self.events: list[tuple[float, int, int, _Station, int, tuple[tuple[int, float], ...], tuple[float, ...]]] = []
        self.count = 0
        self.end_to_end_s: list[float] = []

    def run(self, arrivals: Arrivals) -> Outcome:
        streams = self._streams(arrivals)
        complete = True
        position = 0
        while position < len(streams) or self.events:
            if position < len(streams) and (not self.events or streams[position][0] <= self.events[0][0]):
                now, number, station = streams[position]
                position += 1
                self._arrive(station, number, now, now)
                self._ask_if_due(station, now)
                continue
            now, kind, _, station, slot, items, arrived = heapq.heappop(self.events)
            if kind == _TIMER:
                if now >= station.ask_at:
                    self._ask(station, now)
                continue
            station.dispatcher.finished(slot, now)
            for follower in self._finish(station, items, arrived, now):
                self._ask_if_due(follower, now)
            self._ask(station, now)
            if station.arrived and now - station.arrived[0] > station.hopeless_s:
                complete = False
                break
        return self._outcome(complete)

    def _streams(self, arrivals: Arrivals) -> list[tuple[float, int, _Station]]:
        """The arrivals of all sources, in order of time."""
        by_rate: dict[float, Sequence[float]] = {}
        merged: list[tuple[float, int, _Station]] = []
        for station in self.stations.values():
            if station.inputs:
                continue
            if station.rate not in by_rate:
                by_rate[station.rate] = arrivals(station.rate, self.seconds, self.random)
            merged += [(time, number, station) for number, time in enumerate(by_rate[station.rate])]
        merged.sort(key=lambda each: each[0])
        return merged

    def _arrive(self, station: _Station, number: int, born: float, now: float) -> None:
        station.arrived.append(now)
        station.items.append((number, born))

    def _ask_if_due(self, station: _Station, now: float) -> None:
        if len(station.arrived) >= station.enough:
            self._ask(station, now)

    def _ask(self, station: _Station, now: float) -> None:
        """Does what the dispatcher says until it says wait."""
        while True:
            decision = station.dispatcher.decide(station.arrived, now)
            if not isinstance(decision, Send):
                break
            items = tuple(station.items[: decision.size])
            arrived = tuple(station.arrived[: decision.size])
            del station.items[: decision.size], station.arrived[: decision.size]
            station.batches[decision.slot] += 1
            station.dummies += decision.dummies
            end = now + station.slots[decision.slot].duration_s * self.service_times(self.random)
            self._push(end, _END, station, decision.slot, items, arrived)
        station.enough = decision.waiting
        if decision.until != station.ask_at and decision.until < math.inf:
            self._push(max(decision.until, now), _TIMER, station, 0, (), ())
        station.ask_at = decision.until

    def _finish(
        self, station: _Station, items: Sequence[tuple[int, float]], arrived: Sequence[float], now: float
    ) -> list[_Station]:
        """Passes requests on; says to which modules."""
        warm = self.seconds * WARM_UP
        for (number, born), since in zip(items, arrived, strict=True):
            if born >= warm:
                station.latencies_s.append(now - since)
                if not station.followers:
                    self.end_to_end_s.append(now - born)
            for follower, ratio in station.followers:
                first = math.ceil(number * ratio - CLOSE)
                for child in range(first, math.ceil((number + 1) * ratio - CLOSE)):
                    self._pass_on(follower, child, born, now)
        return [follower for follower, _ in station.followers]

    def _pass_on(self, follower: _Station, number: int, born: float, now: float) -> None:
        needed = len(follower.inputs)
        if needed > 1:
            done, latest = follower.joining.pop(number, (0, 0.0))
            born = max(born, latest)
            if done + 1 < needed:
                follower.joining[number] = (done + 1, born)
                return
        self._arrive(follower, number, born, now)

    def _push(
        self,
        time: float,
        kind: int,
        station: _Station,
        slot: int,
        items: tuple[tuple[int, float], ...],
        arrived: tuple[float, ...],
    ) -> None:
        self.count += 1
        heapq.heappush(self.events, (time, kind, self.count, station, slot, items, arrived))

    def _outcome(self, complete: bool) -> Outcome:
        stations = self.stations.values()
        inputs = {module.name: module.inputs for module in self.workload.modules}
        predicted_ms = path_latency_ms(inputs, {each.name: each.allocation.latency_ms for each in stations})
        objective_ms = self.workload.objective_ms
        return Outcome(
            end_to_end=latencies(self.end_to_end_s, predicted_ms, objective_ms),
            modules=tuple(
                SimulatedModule(
                    name=each.name,
                    latencies=latencies(each.latencies_s, each.allocation.latency_ms, each.allocation.budget_ms),
                    dummy_rate=each.dummies / self.seconds,
                    loads=tuple(
                        batches * slot.batch / self.seconds
                        for batches, slot in zip(each.batches, each.slots, strict=True)
                    ),
                )
                for each in stations
            ),
            complete=complete,
        )
