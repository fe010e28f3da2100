"""Batches of several modules: what their models have in common runs once, on the pictures of all of them.

A batch is due for one module. Others that share a stage with it and have items waiting join it, as long as nobody
comes too late for that. Every stage then runs on the pictures that its modules have in the batch, each picture once,
and what others may still want of a picture is kept with it. What a stage takes is charged to its modules by items.
Source: shared stages, batches over pipelines and the results of sub-plans that are kept are Pretzel's (Lee et al., OSDI
2018, sections 4.1 and 4.2); joining by deadlines, and charging by use, are ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from framepilot.contract.observed import ObservedStage
from framepilot_app.graphs.engine import CompiledStage, EngineError
from framepilot_app.graphs.identity import Member
from framepilot_app.graphs.merging import Merged, SharedStage
from framepilot_app.graphs.torch_engine import as_image
from framepilot_app.modules.alike import Alike
from framepilot_app.modules.lane import Lane
from framepilot_app.modules.module import Module
from framepilot_app.modules.preprocess import Prepared
from framepilot_app.modules.queue import Item
from framepilot_app.modules.rows import Rows, Value, array_of, distinct, joined
from framepilot_app.modules.stages import ReadyStage, choose

Arrays = list[NDArray[np.float32]]

LEAST_S: Final = 1e-9
"""So that shares of what took no time can be told."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one module has in a batch."""

    module: Module
    lane: Lane
    items: list[Item]

    @property
    def pictures(self) -> list[Prepared]:
        """Of its items, in order."""
        return [item.prepared for item in self.items]


@dataclass(frozen=True, slots=True)
class PartDone:
    """Outputs with the part's items first, and the seconds of the device's time that it has to answer for."""

    part: Part
    outputs: Arrays
    seconds: float


class JointPlan:
    """Which stages run for which lanes; only what runs a stage changes while it is in force.

    Used by the device thread; what does not run anything may be asked on any.
    """

    def __init__(
        self,
        merged: Merged,
        lanes: Mapping[str, Lane],
        ready: Sequence[ReadyStage],
        device: torch.device,
        before: JointPlan | None = None,
    ) -> None:
        """`lanes` by the names of the plan's programs, `ready` in the order of its stages; `before` is the plan that it
        takes the place of."""
        self.merged = merged
        self.ready = tuple(ready)
        self.alike: Alike = Alike(self.ready, None if before is None else before.alike)
        self.lanes = lanes
        self.asynchronous = device.type != "cpu"
        """Whether a call returns before its work is done."""
        self._device = device
        self._of: dict[Lane, tuple[int, ...]] = {
            lane: tuple(index for index, each in enumerate(merged.stages) if name in each.users)
            for name, lane in lanes.items()
        }
        together: dict[str, set[str]] = {name: set() for name in lanes}
        for each in merged.stages:
            for name in each.users:
                together[name].update(each.users)
        self._partners = {
            lane: frozenset(lanes[other] for other in together[name] if other != name) for name, lane in lanes.items()
        }
        companies: dict[frozenset[str], frozenset[Lane]] = {}
        for names in map(frozenset, together.values()):
            companies.setdefault(names, frozenset(lanes[name] for name in names))
        self._companies = {lane: companies[frozenset(together[name])] for name, lane in lanes.items()}

    def company(self, lane: Lane) -> frozenset[Lane]:
        """It and its partners; lanes of the same company have the same object."""
        return self._companies.get(lane, frozenset((lane,)))

    def partners(self, lane: Lane) -> frozenset[Lane]:
        """Whose items may run with this lane's."""
        return self._partners.get(lane, frozenset())

    def shared(self) -> Iterator[tuple[SharedStage, ReadyStage]]:
        """The stages of several lanes."""
        for each, ready in zip(self.merged.stages, self.ready, strict=True):
            if len(each.users) > 1:
                yield each, ready

    def chooses(self, shared: SharedStage) -> bool:
        """Whether a stage may run on another engine than torch: all that use it leave it open."""
        return choose(self.lanes[name] for name in shared.users)

    def using(self, ready: ReadyStage) -> SharedStage | None:
        """Whose a stage is; None: it is none of the plan's."""
        return next((each for each, own in zip(self.merged.stages, self.ready, strict=True) if own is ready), None)

    def observed(self) -> tuple[ObservedStage, ...]:
        """What `/status` says of the stages that several lanes share."""
        return tuple(ready.observed(each, self.merged) for each, ready in self.shared())

    def compiled_of(self, lane: Lane) -> Iterator[CompiledStage]:
        """What runs the stages that it needs; none if it is not in the plan."""
        return (self.ready[index].compiled for index in self._of.get(lane, ()))

    def stages_of(self, lane: Lane) -> tuple[int, ...]:
        """The indices of the stages that it needs."""
        return self._of[lane]

    def run(self, parts: Sequence[Part], clock: Callable[[], float], begun: Callable[[], None]) -> list[PartDone]:
        """Run a batch; `begun` is called when its pictures have been laid out. What is charged adds up to all it took.

        Raises:
            EngineError: a stage fails, of whomever it is.
        """
        batch = _Batch(self, parts)
        with torch.inference_mode():
            before = clock()
            batch.lay_out(self._device)
            begun()
            batch.run(clock)
            outputs = [batch.outputs(part) for part in parts]
            seconds = clock() - before
        return [
            PartDone(part, arrays, charged)
            for part, arrays, charged in zip(parts, outputs, batch.charge(seconds), strict=True)
        ]

    def member(self, lane: Lane) -> Member:
        """Its program."""
        return self.merged.members[lane.name]


@dataclass(frozen=True, slots=True)
class _Run:
    """A stage in a batch: for whom, on which pictures, and on which of these anew."""

    index: int
    parts: tuple[int, ...]
    rows: Rows
    fresh: Rows


class _Batch:
    """One batch of a plan, from pictures to outputs."""

    def __init__(self, plan: JointPlan, parts: Sequence[Part]) -> None:
        self._plan = plan
        self._parts = parts
        self._rows = [distinct(part.pictures) for part in parts]
        self._values: dict[str, list[Value]] = {}
        # By the name of a value, whose rows of it somebody takes.
        self._wanted: dict[str, dict[Prepared, None]] = {}
        self._runs = self._needed()
        self._seconds = [LEAST_S] * len(self._runs)

    def lay_out(self, device: torch.device) -> None:
        """Pictures become the input of each kind of program; those of which all that is needed was kept do not."""
        lanes = {self._plan.member(part.lane).picture: part.lane for part in self._parts}
        for picture, lane in lanes.items():
            rows = tuple(self._wanted.get(picture, ()))
            if rows:
                batch = lane.normalise([row.picture for row in rows])
                self._values[picture] = [Value(as_image(batch, self._plan.member(lane).image, device), rows)]

    def run(self, clock: Callable[[], float]) -> None:
        """All stages, in order; those that are alike, as heads on one backbone are, in one call."""
        for group in self._groups():
            runs = [self._runs[place] for place in group]
            stages = [self._plan.ready[run.index] for run in runs]
            pairs = [*zip(runs, stages, strict=True)]
            inputs = [[self._value(name, run.fresh) for name in ready.stage.inputs] for run, ready in pairs]
            before = clock()
            given = self._plan.alike.run(stages, inputs)
            seconds = clock() - before
            expected = [ready.latency.seconds(len(run.fresh)) for run, ready in pairs]
            scale = seconds / max(sum(expected), LEAST_S)
            for place, run, outputs, part in zip(group, runs, given, expected, strict=True):
                self._seconds[place] = max(part * scale, LEAST_S)
                self._keep(run, outputs)

    def outputs(self, part: Part) -> Arrays:
        """A part's, in the order of its items."""
        member = self._plan.member(part.lane)
        return [array_of(self._value(name, part.pictures)) for name in member.outputs]

    def charge(self, seconds: float) -> list[float]:
        """What each part has to answer for, of all that the batch took; and each stage hears how long it took."""
        asynchronous = self._plan.asynchronous
        if asynchronous:
            # What was measured before has to do.
            self._seconds = [
                max(self._plan.ready[run.index].latency.seconds(len(run.fresh)), LEAST_S) if run.fresh else LEAST_S
                for run in self._runs
            ]
        scale = seconds / sum(self._seconds)
        charged = [0.0] * len(self._parts)
        for run, weight in zip(self._runs, self._seconds, strict=True):
            items = sum(len(self._parts[index].items) for index in run.parts)
            took = weight * (scale if asynchronous else 1.0)
            if run.fresh:
                self._plan.ready[run.index].ran(len(run.fresh), took)
            for index in run.parts:
                charged[index] += weight * scale * len(self._parts[index].items) / items
        for part in self._parts:
            for index in self._plan.stages_of(part.lane):
                self._plan.ready[index].served(len(part.items))
        return charged

    def _needed(self) -> list[_Run]:
        """The stages that have to run, in order, found from the last to the first."""
        wanted = self._wanted
        of: dict[int, list[int]] = {}
        for number, (part, rows) in enumerate(zip(self._parts, self._rows, strict=True)):
            for name in self._plan.member(part.lane).outputs:
                wanted.setdefault(name, {}).update(dict.fromkeys(rows))
            for index in self._plan.stages_of(part.lane):
                of.setdefault(index, []).append(number)
        runs = []
        for index in sorted(of, reverse=True):
            stage = self._plan.ready[index].stage
            own = distinct(row for number in of[index] for row in self._rows[number])
            asked = {row for name in stage.outputs for row in wanted.get(name, ())}
            rows = tuple(row for row in own if row in asked)
            fresh = tuple(row for row in rows if not all(name in row.kept for name in stage.outputs))
            for name in stage.inputs:
                wanted.setdefault(name, {}).update(dict.fromkeys(fresh))
            if rows:
                runs.append(_Run(index, tuple(of[index]), rows, fresh))
        return runs[::-1]

    def _groups(self) -> Iterator[list[int]]:
        """The places of the stages that run, in order: those that run in one call together."""
        group: list[int] = []
        form: str | None = None
        taken: set[str] = set()
        for place, run in enumerate(self._runs):
            ready = self._plan.ready[run.index]
            if not run.fresh:
                # All that it would give is kept.
                self._keep(run, ())
                continue
            own = ready.form
            if group and (own is None or own != form or not taken.isdisjoint(ready.stage.inputs)):
                yield group
                group, taken = [], set()
            group.append(place)
            form = own
            taken.update(ready.stage.outputs)
        if group:
            yield group

    def _value(self, name: str, rows: Sequence[Prepared]) -> torch.Tensor:
        for value in self._values.get(name, ()):
            if value.has(rows):
                return value.of(rows)
        raise EngineError(f"{name}: no stage gives it for all pictures that need it")

    def _keep(self, run: _Run, given: Sequence[torch.Tensor]) -> None:
        """What a stage gave: for those that follow in this batch, and for others that will want it later."""
        shared = self._plan.merged.stages[run.index]
        users = Counter(row for index in run.parts for row in self._rows[index]) if len(shared.users) > 1 else {}
        wanted = [(index, row) for index, row in enumerate(run.fresh) if users.get(row, 1) < len(shared.users)]
        fresh = set(run.fresh)
        kept = tuple(row for row in run.rows if row not in fresh)
        for place, name in enumerate(shared.stage.outputs):
            pieces = [given[place]] if run.fresh else []
            for row in kept:
                tensor, index = row.kept[name]
                pieces.append(tensor[index : index + 1])
            tensor = pieces[0] if len(pieces) == 1 else joined(pieces)
            self._values.setdefault(name, []).append(Value(tensor, (*run.fresh, *kept)))
            for index, row in wanted:
                row.kept[name] = (given[place], index)
