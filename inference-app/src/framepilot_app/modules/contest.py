"""Which engine runs a version: each that can is measured on the sizes that are warmed anyway, and the fastest serves.

Pure: who is measured, what was found, who is given up early, and who wins. An engine is never judged by one size alone:
some are fast alone and slow in batches. Where that makes much of a difference, each runs the sizes that it is good at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from framepilot.contract.desired import Engine
from framepilot.contract.observed import ObservedEngine, ProfilePoint
from framepilot_app.graphs.engine import Compiled

CLEARLY_SLOWER: Final = 2.0
"""Given up early: so many times as slow as the fastest one at this size and at the one before."""

LARGER_WEIGHT: Final = 0.5
"""What a size above the one in force counts, which may be asked for later; those up to it count 1."""

WORTH: Final = 1.1
"""Where the fastest engine takes over so many times as long as another one, that one runs this size, though that is one
more program in memory."""

MIXED: Final = "mixed"
"""What stands for an engine's name where several run a version, each its sizes."""

LEAST_RUNS: Final = 2
MOST_RUNS: Final = 64
ENOUGH_S: Final = 0.05
"""A size is run so often, or until its runs took so long together."""

TURNS: Final = 2
"""How often all are measured at a size, one after the other: what holds one of them up for a while decides less."""

SHORTEST_MS: Final = 1e-6


def timed_enough(seconds: Sequence[float]) -> bool:
    """Whether engines can be compared by these timed runs of one size; short ones vary most."""
    return len(seconds) >= MOST_RUNS or (len(seconds) >= LEAST_RUNS and sum(seconds) >= ENOUGH_S)


def timed_point(batch: int, seconds: Sequence[float]) -> ProfilePoint:
    """What a few timed runs of one size say: the median, and the most, as they are too few for a quantile.

    Of many, the longest quarter does not count: something else held them up. The least would not do, as there are
    engines whose threads are fast once in a while only.
    """
    kept = sorted(seconds)[: max(LEAST_RUNS, 3 * len(seconds) // 4)]
    return ProfilePoint(batch=batch, p50_ms=kept[(len(kept) - 1) // 2] * 1000, p99_ms=kept[-1] * 1000)


@dataclass(eq=False, slots=True)
class Contender:
    """A program that was compiled by one engine. `points` are the batch sizes that were measured, in order."""

    name: str
    compiled: Compiled
    points: dict[int, ProfilePoint] = field(default_factory=dict)

    def ms(self, batch: int) -> float:
        """What a batch of this size takes; never 0, so that it can be compared."""
        return max(self.points[batch].p50_ms, SHORTEST_MS)

    def measured(self, point: ProfilePoint, *, anew: bool) -> None:
        """At one size; of two turns their mean counts."""
        known = None if anew else self.points.get(point.batch)
        if known is not None:
            middle, most = (known.p50_ms + point.p50_ms) / 2, max(known.p99_ms, point.p99_ms)
            point = ProfilePoint(batch=point.batch, p50_ms=middle, p99_ms=most)
        self.points[point.batch] = point

    def observed(self, reason: str | None = None) -> ObservedEngine:
        """What `/status` says of it."""
        return ObservedEngine(name=self.name, points=tuple(self.points.values()), reason=reason)


class Contest:
    """Contenders that are still in, and what became of the others."""

    def __init__(self, contenders: Sequence[Contender] = (), out: Sequence[ObservedEngine] = ()) -> None:
        self.contenders = [*contenders]
        self._out = [*out]
        self._failed: set[str] = set()

    def drop(self, contender: Contender, reason: str) -> None:
        """It failed: it is out, and its program no longer referred to here."""
        self._failed.add(contender.name)
        self._leave(contender, reason)

    def refuse(self, name: str, reason: str) -> None:
        """One that could not even be compiled is out."""
        self._failed.add(name)
        self._out.append(ObservedEngine(name=name, reason=reason))

    def failed(self, name: str) -> bool:
        """Whether it is out for another reason than that it is slower."""
        return name in self._failed

    def in_turn(self, turns: int = TURNS) -> Iterator[tuple[int, Contender]]:
        """Those that are still in when it is theirs, one after the other, so often; with the turn's number."""
        for turn in range(turns):
            for contender in [*self.contenders]:
                if contender in self.contenders:
                    yield turn, contender

    def drop_slow(self, sizes: Sequence[int]) -> None:
        """Those that were clearly slower at both of the last two of these sizes, which all have been measured at."""
        if len(sizes) < 2 or not self.contenders:
            return
        best = {size: min(each.ms(size) for each in self.contenders) for size in sizes[-2:]}
        for contender in [*self.contenders]:
            factors = [contender.ms(size) / best[size] for size in best]
            if min(factors) > CLEARLY_SLOWER:
                self._leave(contender, f"slower: {factors[-1]:.1f} times the time of the fastest at batch {sizes[-1]}")

    def fastest(self, size: int) -> Contender:
        """The one with the least time, relative to the best at each size, when this size is in force.

        All must have been measured at the same sizes; of equal ones it is the first.
        """
        batches = [*self.contenders[0].points]
        best = {batch: min(each.ms(batch) for each in self.contenders) for batch in batches}

        def cost(contender: Contender) -> float:
            weighted = ((1.0 if batch <= size else LARGER_WEIGHT, batch) for batch in batches)
            return sum(weight * contender.ms(batch) / best[batch] for weight, batch in weighted)

        return min(self.contenders, key=cost)

    def division(self, size: int) -> dict[int, Contender]:
        """Who runs which batch size: the fastest one all, but for those at which another one is much faster."""
        winner = self.fastest(size)
        best = {batch: min(self.contenders, key=lambda each: each.ms(batch)) for batch in winner.points}
        return {batch: other if winner.ms(batch) > WORTH * other.ms(batch) else winner for batch, other in best.items()}

    def outcome(self, winner: Contender) -> tuple[ObservedEngine, ...]:
        """All engines: the winner, those that were slower, those that were out before."""
        return (winner.observed(), *self._slower((winner,)), *self._out)

    def divided(self, division: Mapping[int, Contender]) -> tuple[ObservedEngine, ...]:
        """The same where each runs its batch sizes: first what all are together, then each that has a part in it."""
        serving = tuple(dict.fromkeys(division.values()))
        if len(serving) == 1:
            return self.outcome(serving[0])
        mixed = ObservedEngine(name=MIXED, points=tuple(each.points[batch] for batch, each in division.items()))
        return (mixed, *_parts(division), *self._slower(serving), *self._out)

    def _slower(self, serving: Sequence[Contender]) -> Iterator[ObservedEngine]:
        than = " and ".join(each.name for each in serving)
        return (each.observed(f"slower than {than}") for each in self.contenders if each not in serving)

    def _leave(self, contender: Contender, reason: str) -> None:
        self.contenders.remove(contender)
        self._out.append(contender.observed(reason))

    @property
    def refused(self) -> tuple[ObservedEngine, ...]:
        """Those that are out, and why."""
        return tuple(self._out)

    def failure(self) -> str:
        """Why nobody is left: torch's reason, as it can run all that is allowed, or those of all others."""
        torch = next((out.reason for out in self._out if out.name == Engine.TORCH.value), None)
        return torch or "; ".join(f"engine {out.name}: {out.reason}" for out in self._out)


def _parts(division: Mapping[int, Contender]) -> tuple[ObservedEngine, ...]:
    sizes: dict[Contender, list[int]] = {}
    for batch, contender in division.items():
        sizes.setdefault(contender, []).append(batch)
    return tuple(each.observed().model_copy(update={"batches": tuple(batches)}) for each, batches in sizes.items())
