"""Which lanes may run together now: by the plan of what they have in common, less those that have to run alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from framepilot.scheduling.batcher import BatchPolicy, Run
from framepilot_app.modules.joining import Joining
from framepilot_app.modules.joint import JointPlan, Part
from framepilot_app.modules.lane import Lane, Urgency
from framepilot_app.modules.module import Module


@dataclass(frozen=True, slots=True)
class Waiting:
    """A lane that waits for a fuller batch, what it may run, and how urgent that is."""

    urgency: Urgency
    module: Module
    policy: BatchPolicy


@dataclass(frozen=True, slots=True)
class Ready:
    """A batch that could run now."""

    urgency: Urgency
    module: Module
    lane: Lane
    run: Run


class Together:
    """Used by the device thread; what is public may be read on any."""

    def __init__(self) -> None:
        self.plan: JointPlan | None = None
        """What several lanes run together; exchanged between two batches."""
        self.failed: str | None = None
        """Why there is no plan any more, though there was one."""
        self.expelled: WeakKeyDictionary[Lane, str] = WeakKeyDictionary()
        """Lanes that failed in a batch with others, and why: they run alone."""

    def exchange(self, plan: JointPlan | None) -> None:
        """From the next batch on."""
        self.plan, self.failed = plan, None

    def give_up(self, reason: str) -> None:
        """The plan fails, and nobody alone is to blame: all run alone."""
        self.plan, self.failed = None, reason

    def partners(self, lane: Lane) -> frozenset[Lane]:
        """Whose items may run with this lane's now."""
        if self.plan is None or lane in self.expelled:
            return frozenset()
        return self.plan.partners(lane).difference(self.expelled)

    def full(self, waiting: Mapping[Lane, Waiting]) -> list[Ready]:
        """Those that wait for more, though with others that they can run with they have enough for a batch."""
        if self.plan is None:
            return []
        queued: dict[frozenset[Lane], int] = {}
        ready = []
        for lane, each in waiting.items():
            if lane in self.expelled:
                continue
            company = self.plan.company(lane)
            if company not in queued:
                queued[company] = sum(
                    other.queued for other in company if other in waiting and other not in self.expelled
                )
            if queued[company] >= each.policy.sizes[-1]:
                size = max(size for size in each.policy.sizes if size <= lane.queued)
                ready.append(Ready(each.urgency, each.module, lane, Run(size)))
        return ready

    def joined(
        self,
        plan: JointPlan,
        due: Part,
        modules: Iterable[Module],
        now: float,
        first: Callable[[Module, Lane], tuple[float, float]],
    ) -> list[Part]:
        """The batch that is due, and what joins it.

        Args:
            plan: by which it runs.
            due: the part for whose sake it runs.
            modules: that may join.
            now: monotonic seconds.
            first: who is asked first: those for which this is least.
        """
        partners = self.partners(due.lane)
        others = [
            (module, lane, _sizes(module, lane, now), head)
            for module in modules
            for lane in module.lanes
            if lane in partners and (head := lane.head) is not None and not lane.time_limit.apart(1)
        ]
        most = max(sizes[-1] for sizes in (_sizes(due.module, due.lane, now), *(sizes for _, _, sizes, _ in others)))
        joining = Joining(plan, due, now, most)
        # A full batch is open to few: with a hundred modules, not all of them need be put in order.
        may = [(module, lane, sizes) for module, lane, sizes, head in others if joining.open_to(head)]
        for module, lane, sizes in sorted(may, key=lambda each: first(*each[:2])):
            items = lane.take_with(sizes, functools.partial(joining.fits, lane))
            if items:
                joining.add(Part(module, lane, items))
        return joining.parts


def _sizes(module: Module, lane: Lane, now: float) -> Sequence[int]:
    return lane.time_limit.within(module.policy, module.time_limit_s, now).sizes
