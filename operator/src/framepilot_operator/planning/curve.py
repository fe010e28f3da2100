"""What a module costs as a function of its latency budget: the lower envelope of all plans that can be optimal.

The idea: name a plan by how many saturated instances of each configuration it has and by the configuration of its last
instance. What is left to choose is its total load T, and everything else follows from it: an instance with the loads P
before it collects at T - P, so its latency (`arcs.py`) falls with T, while the cost rises with T along the unit price
of the last instance. So each such plan is one convex arc, from T = R (no dummies: cheapest, slowest) to a saturated
last instance (dearest, fastest), and the module's cost is the lower envelope of arcs, constant to the right of each.
Where the slowest instance waits for no arrivals, dummies make nothing faster, and the arc begins further right, or is
a point.

The search goes through the configurations in rank order, most instances first. A beginning is left as soon as what is
known already is as fast as it could get (T < R + t of its first instance: with more dummies the first could go), and
not dearer than if all that is left ran on the next configuration, and the last instance had just the load that it needs
to be in time.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from framepilot_operator.planning.allocation import CostModel
from framepilot_operator.planning.arcs import Limit, Shape, arcs, latency_ms
from framepilot_operator.planning.greedy import DUMMIES, Floats, Numbers, Ranked, greedy_costs
from framepilot_operator.planning.hull import Hull, hull, lower_hull
from framepilot_operator.planning.pieces import CLOSE, Piece, Staircase, envelope
from framepilot_operator.planning.workload import WorkloadModule

SEEDS: Final = 16
"""Budgets of which the first plans are made: those at corners of the convex hull of the greedy plans' costs."""
MOST_PIECES: Final = 300
"""Pieces of a module's cost that are compared, before the best of them must do."""


class ModuleSearch:
    """Finds pieces of a module's cost; what it finds it keeps, so that each search begins where the last one ended."""

    def __init__(
        self,
        module: WorkloadModule,
        longest_ms: float,
        cost_model: CostModel = "fractional",
        most_pieces: int = MOST_PIECES,
    ) -> None:
        self._most_visits = 0
        self._most_pieces = most_pieces
        self.pieces: list[Piece] = []
        self.complete = True
        """Whether the last search looked at all there is."""
        self.floor = math.inf
        self.longest_ms = longest_ms * (1 + CLOSE)
        self._whole = cost_model == "whole"
        self._rate = module.rate
        usable = [(rank, each) for rank, each in enumerate(module.configurations) if each.latency_ms < self.longest_ms]
        self._ranked = ranked = Ranked(
            [rank for rank, _ in usable],
            [each.latency_ms for _, each in usable],
            [each.throughput for _, each in usable],
            [1000.0 * each.awaited for _, each in usable],
            [each.least_latency_ms for _, each in usable],
            [each.price for _, each in usable],
            [each.price / each.throughput for _, each in usable],
        )
        self._ranks, self._durations, self._throughputs, self._products, self._least, self._prices, self._units = ranked
        self._fastest = [math.inf] * (len(usable) + 1)
        for index in reversed(range(len(usable))):
            self._fastest[index] = min(self._fastest[index + 1], self._least[index])
        self._known = Staircase()
        self._ended: set[tuple[tuple[tuple[int, int], ...], int]] = set()
        self.visits = 0
        """Beginnings that the last search looked at."""
        self._slope, self._limit, self._pricing = 0.0, math.inf, False
        self._corners: Hull = []
        self._cornered = 0
        self._seed()

    @property
    def corners(self) -> Hull:
        """Those of the convex hull of all pieces that are found."""
        self._corners = hull(self._corners, self.pieces[self._cornered :])
        self._cornered = len(self.pieces)
        return self._corners

    def price(self, slope: float, most_visits: int) -> Piece:
        """The piece where cost + slope x budget is least of all that is found; `floor` is what none is below.

        At most `most_visits` beginnings are looked at, before what was found must do.
        """
        best = min([piece.reduced(slope) for piece in self.pieces])
        self._slope, self._limit, self._pricing = slope, best, True
        self._begin(most_visits)
        found = min(self.pieces, key=lambda piece: piece.reduced(slope))
        self.floor = min(self.floor, found.reduced(slope))
        return found

    def within(self, slope: float, limit: float, most_visits: int) -> list[Piece]:
        """All pieces where cost + slope x budget comes to `limit` or less, and that are the cheapest somewhere.

        At most `most_visits` beginnings are looked at, before what was found must do.
        """
        self.look(slope, limit, most_visits)
        return self.near(slope, limit)

    def look(self, slope: float, limit: float, most_visits: int) -> None:
        """Finds these pieces, and does not list them."""
        self._slope, self._limit, self._pricing = slope, limit, False
        self._begin(most_visits)

    def near(self, slope: float, limit: float) -> list[Piece]:
        """Those of them that are found."""
        near = self._near(slope, limit)
        self.complete = self.complete and len(near) <= self._most_pieces
        chosen = sorted(near[: self._most_pieces])
        return envelope((self.pieces[index] for index in chosen), self._most_pieces // 3)

    def best(self, slope: float, limit: float, most: int) -> list[Piece]:
        """Of the pieces that are found those where cost + slope x budget comes to `limit` or less, the best `most`."""
        return [self.pieces[index] for index in self._near(slope, limit)[:most]]

    def _near(self, slope: float, limit: float) -> list[int]:
        """Which of the pieces that are found come to `limit` or less, the best first."""
        reduced = [(piece.reduced(slope), index) for index, piece in enumerate(self.pieces)]
        return [index for least, index in sorted(reduced) if least <= limit]

    def costs(self, budgets_ms: Floats) -> tuple[Floats, Numbers]:
        """What greedy plans cost, infinite where a budget is too short or too long; which of `DUMMIES` they have."""
        costs, dummies = greedy_costs(self._ranked, self._rate, budgets_ms, whole=self._whole)
        return np.where(budgets_ms <= self.longest_ms, costs, np.inf), dummies

    def cheapest(self, budget_ms: float, dummies: int) -> Piece | None:
        """The cheapest piece with a budget, after the greedy plans for it were made; None if it is too short."""
        self._slope, self._limit, self._pricing = 0.0, math.inf, False
        budget_ms *= 1 + CLOSE
        self._greedy(budget_ms, DUMMIES[dummies])
        fitting = [piece for piece in self.pieces if piece.low <= budget_ms]
        return min(fitting, key=lambda piece: piece.cost(budget_ms), default=None)

    def _begin(self, most_visits: int) -> None:
        self.visits, self._most_visits, self.floor = 0, most_visits, math.inf
        self._visit(0, 0.0, 0.0, (), (), math.inf)
        self.complete = self.floor == math.inf

    def _visit(
        self,
        index: int,
        load: float,
        cost: float,
        limits: tuple[Limit, ...],
        saturated: tuple[tuple[int, int], ...],
        most: float,
    ) -> None:
        """All plans that begin with `saturated` and go on with configurations from `index`; T stays below `most`."""
        if index == len(self._ranks):
            return
        throughput, price = self._throughputs[index], self._prices[index]
        first = not saturated
        # Instances of the first configuration may just exceed the rate; later ones must leave the load below `most`.
        room = self._rate if first else most - load - throughput
        count = max(math.ceil(room / throughput * (1 - CLOSE)), 0)
        duration, product = self._durations[index], self._products[index]
        with_some = self._rate + throughput if first else most
        if duration + product / (with_some - load) > self.longest_ms:
            # Not one of them would be in time.
            count = 0
        floor = self._fastest[index + 1]
        dearer = self._units[index + 1] if index + 1 < len(self._units) else math.inf
        soon = latency_ms(limits, most) if limits else 0.0
        allowed = self._limit - self._slope * max(soon, floor)
        rate = self._rate * (1 - CLOSE)
        widest = self._rate + max(self._throughputs[index + 1 :], default=0.0) if first else most - load
        while count >= 0:
            if self.visits >= self._most_visits:
                least = cost + self._units[index] * max(self._rate - load, 0.0)
                self.floor = min(self.floor, least + self._slope * max(soon, self._fastest[index]))
                return
            self.visits += 1
            total, begun = load + count * throughput, cost + count * price
            at_most, quickest, now, kinds = most, soon, limits, saturated
            if count:
                at_most = with_some
                now = (*limits, (duration, product, total - throughput))
                quickest = max(quickest, duration + product / (at_most - total + throughput))
                kinds = (*saturated, (index, count))
            left = max(self._rate - total, 0.0)
            if total + throughput >= rate:
                self._end(index, total, begun, now, kinds, quickest)
            elif begun + dearer * left > allowed:
                # With fewer of them more runs on dearer ones.
                return
            soonest = max(quickest, floor)
            in_time = soonest <= self.longest_ms
            promise = self._promise(index + 1, begun, left, at_most - total, soonest) if in_time else None
            if promise:
                self._visit(index + 1, total, begun, now, kinds, at_most)
            elif promise is None and quickest <= floor and left > 0:
                # Fewer of them leave more to the next, and cannot end here; but they leave more room to be fast.
                wider = self._promise(index + 1, begun, left, widest, soonest) if in_time else None
                if wider is None:
                    return
            count -= 1

    def _promise(self, index: int, begun: float, left: float, room: float, soonest: float) -> bool | None:
        """Whether to go on with configurations from `index` can be cheaper somewhere than all that is known.

        With at most `room` more load none of them is faster than d + c / room, so the cheapest of those that may be
        used by then runs all that is left at best. None: not even that would be cheap enough.
        """
        known, end = self._known.cost, self.longest_ms * (1 + CLOSE)
        promise: bool | None = None
        for at in range(index, len(self._ranks)):
            start = self._durations[at] + self._products[at] / room
            if start < end:
                start = max(start, soonest)
                bound = begun + self._units[at] * left
                if bound < known(start) and bound + self._slope * start <= self._limit:
                    promise = self._ends(at, begun, left, room, start, end)
                if promise or start <= soonest:
                    return promise
                end = start
        return promise

    def _ends(self, index: int, begun: float, left: float, room: float, start: float, end: float) -> bool:
        """Whether some last instance, with the load that it needs to be fast enough, leaves the cost within the limit.

        All that is not its load runs on the configuration `index` at best.
        """
        slope, limit, unit = self._slope, self._limit - begun, self._units[index]
        for at in range(index, len(self._ranks)):
            duration, product = self._durations[at], self._products[at]
            least = max(start, self._least[at], duration + product / room)
            if least >= end:
                continue
            dearer = max(self._units[at] - unit, 0.0) * product
            if unit * left + _reduced(duration, dearer, slope, least, end) > limit:
                continue
            if _reduced(duration, self._units[at] * product, slope, least, end) <= limit:
                return True
        return False

    def _seed(self) -> None:
        if not self._durations:
            return
        budgets = np.geomspace(self._fastest[0] * (1 + CLOSE), self.longest_ms, SEEDS)
        costs, dummies = self.costs(budgets)
        kinds = dict(zip(budgets.tolist(), dummies.tolist(), strict=True))
        points = [(at, cost) for at, cost in zip(budgets.tolist(), costs.tolist(), strict=True) if cost < math.inf]
        for budget, _ in reversed(lower_hull(points)):
            self._greedy(budget, DUMMIES[kinds[budget]])

    def _greedy(self, budget: float, dummies: float) -> None:
        load, cost, rate = 0.0, 0.0, self._rate
        limits: tuple[Limit, ...] = ()
        kinds: tuple[tuple[int, int], ...] = ()
        for at, duration in enumerate(self._durations):
            if duration >= budget:
                continue
            throughput = self._throughputs[at]
            needed = self._products[at] / (budget - duration)
            awaited = max(needed - throughput, 0.0)
            if not kinds and self._rate - awaited >= throughput * (1 - CLOSE):
                rate = self._rate + dummies * throughput
            count = math.floor((rate - load - awaited) / throughput * (1 + CLOSE))
            if count > 0:
                load += count * throughput
                cost += count * self._prices[at]
                limits = (*limits, (duration, self._products[at], load - throughput))
                kinds = (*kinds, (at, count))
            if needed <= throughput * (1 + CLOSE):
                self._end(at, load, cost, limits, kinds, 0.0)
                if rate - load >= needed:
                    return

    def _end(
        self,
        index: int,
        total: float,
        begun: float,
        limits: tuple[Limit, ...],
        kinds: tuple[tuple[int, int], ...],
        quickest: float,
    ) -> None:
        """The plan that ends with an instance of the configuration `index` after `total`; at best in `quickest`."""
        if (kinds, index) in self._ended:
            return
        duration, throughput, unit = self._durations[index], self._throughputs[index], self._units[index]
        most = total + throughput
        low = max(self._least[index], quickest)
        cheapest = begun + unit * (throughput if self._whole else max(self._rate - total, 0.0))
        if most < self._rate * (1 - CLOSE) or low > self.longest_ms or cheapest + self._slope * low > self._limit:
            return
        every = (*limits, (duration, self._products[index], total))
        low = latency_ms(every, most)
        if cheapest + self._slope * low > self._limit:
            return
        self._ended.add((kinds, index))
        if low > self.longest_ms or self._known.cost(low) <= cheapest:
            return
        least = min(max(self._rate, total), most)
        high = latency_ms(every, least)
        shape = Shape(tuple((self._ranks[at], count) for at, count in kinds), self._ranks[index])
        self._known.add(low, begun + unit * throughput)
        if self._whole:
            # Dummies cost nothing where the last instance is paid for in full.
            self._add(Piece(low, low, begun + unit * throughput, 0.0, 0.0, shape))
            return
        if high <= self.longest_ms:
            self._known.add(high, begun + unit * (least - total))
        if least < most and high > low:
            for piece in arcs(every, begun - unit * total, unit, low, min(high, self.longest_ms), shape):
                self._add(piece)
        else:
            self._add(Piece(low, low, begun + unit * (least - total), 0.0, 0.0, shape))

    def _add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        if self._pricing:
            self._limit = min(self._limit, piece.reduced(self._slope))


def _reduced(pole: float, rise: float, slope: float, low: float, high: float) -> float:
    """The least of rise / (budget - pole) + slope x budget between two budgets."""
    if not rise:
        return slope * low
    best = pole + math.sqrt(rise / slope) if slope > 0 else high
    budget = min(max(best, low), high)
    return rise / (budget - pole) + slope * budget
