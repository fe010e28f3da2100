"""The device thread: the only thread that touches the device.

Between two batches it looks at every lane, asks the pure batcher, and runs what is due: the highest priority first,
then services by their shares, within one the tightest deadline first. Modules whose models begin alike join a batch
that is due (`together.py`). Candidates are loaded here too, step by step (`loadings.py`).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from framepilot.scheduling.batcher import Drop, Run
from framepilot.scheduling.limits import Allowance
from framepilot_app.graphs.engine import first_line
from framepilot_app.graphs.warm_up import warm_up
from framepilot_app.models.parameters import ParameterStore
from framepilot_app.modules.joint import Arrays, JointPlan, Part
from framepilot_app.modules.lane import Lane
from framepilot_app.modules.limits import Limits
from framepilot_app.modules.loadings import Loading, Loadings
from framepilot_app.modules.module import Module
from framepilot_app.modules.queue import Item
from framepilot_app.modules.rows import array_of
from framepilot_app.modules.shares import Shares
from framepilot_app.modules.together import Ready, Together, Waiting

LOADING_LOOK_S: Final = 0.002
"""How often it looks whether a candidate may go on."""

STOOD_STILL: Final = 10.0
"""A batch that takes so many times as long as usual was held up by the machine, which may have stood still: for its
service's turn no more of it counts. A model that became slow so suddenly counts in full as soon as that is usual."""

HEARTBEAT_S: Final = 0.5
"""The longest the thread sleeps: its heartbeat is never older than this plus one batch or step."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchDone:
    """A batch that has run: outputs with the items first, or the error. Times are monotonic seconds."""

    module: Module
    lane: Lane
    items: list[Item]
    started_at: float
    seconds: float
    outputs: Arrays | Exception


@dataclass(frozen=True, slots=True)
class ItemsDropped:
    """Items that will not run. `stopped` says why their module runs nothing now; None: they could not have made their
    deadlines any more."""

    module: Module
    lane: Lane
    items: list[Item]
    stopped: str | None = None


class DeviceThread:
    """Owns one device. `on_done` and `on_dropped` are called on the device thread and must hand the work on at once."""

    def __init__(
        self,
        device: torch.device,
        on_done: Callable[[Sequence[BatchDone]], None],
        on_dropped: Callable[[ItemsDropped], None],
        clock: Callable[[], float] = time.monotonic,
        parameters: ParameterStore | None = None,
    ) -> None:
        self.device = device
        self.parameters = ParameterStore() if parameters is None else parameters
        """What all models on this device have of parameters."""
        self.together = Together()
        """Which lanes run together."""
        self.used_s: dict[str, float] = {}
        """Seconds of the device's time by service; what was shared is split by use."""
        self.busy_s = 0.0
        self.heartbeat = clock()
        self._on_done = on_done
        self._on_dropped = on_dropped
        self._clock = clock
        self._modules: tuple[Module, ...] = ()
        self._loadings = Loadings(clock)
        self._shares = Shares()
        self._limits = Limits()
        self._wake = threading.Event()
        self._finished: list[BatchDone] = []
        self._ran_at = -math.inf
        # None: to be found out, since a batch has run; it is asked for with every frame.
        self._longest_s: float | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the batch that is running; what waits is left."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def set_modules(self, modules: tuple[Module, ...]) -> None:
        """The modules whose lanes it serves, from the next batch on; called often."""
        if modules == self._modules:
            return
        self._modules = modules
        self._longest_s = None
        self._wake.set()

    def reserve(self, reserves: Mapping[str, float]) -> None:
        """What each service reserved of the device's time, 0..1; in force from the next batch on."""
        self._shares.reserve(reserves)

    def limit(self, limits: Mapping[str, float]) -> None:
        """The most of the device's time that some services may take, above 0 and below 1; from the next batch on."""
        self._limits.limit(limits)
        self._wake.set()

    def limits(self) -> Mapping[str, Allowance]:
        """Of each service that has a limit: where it stands."""
        return self._limits.allowances()

    def wake(self) -> None:
        """Something was queued or changed: look again."""
        self._wake.set()

    def load(self, loading: Loading) -> None:
        """Take the steps of a candidate in the gaps; one candidate after the other."""
        self._loadings.add(loading)
        self._wake.set()

    def _run(self) -> None:
        warm_up(self.device)
        while not self._stopping:
            self._wake.clear()
            self.heartbeat = now = self._clock()
            due, look_again_at = self._look(now)
            if due is None:
                self._hand_over()
            stepped = self._loadings.step(now, self._ran_at, busy=due is not None)
            if due is not None:
                self._execute(*due)
            elif not stepped:
                longest_s = LOADING_LOOK_S if self._loadings else HEARTBEAT_S
                self._wake.wait(min(max(look_again_at - now, 0.0), longest_s))
        self._hand_over()
        self._loadings.close()

    def _look(self, now: float) -> tuple[tuple[Module, Lane, Run] | None, float]:
        """The batch that is due first, if any, and when to look again otherwise. What is hopeless is dropped here."""
        ready: list[Ready] = []
        waiting: dict[Lane, Waiting] = {}
        look_again_at = math.inf
        limits = self._limits.allowances()
        for module in self._modules:
            limit = limits.get(module.service)
            free_at = -math.inf if limit is None else limit.free_at
            for lane in module.lanes:
                if not lane.queued:
                    continue
                policy = lane.time_limit.within(module.policy, module.time_limit_s, now)
                if not policy.sizes:
                    self._on_dropped(ItemsDropped(module, lane, lane.clear(), lane.time_limit.why()))
                    continue
                decision, urgency = lane.decide(now, policy)
                while isinstance(decision, Drop):
                    self._on_dropped(ItemsDropped(module, lane, lane.take(decision)))
                    decision, urgency = lane.decide(now, policy)
                if free_at > now:
                    look_again_at = min(look_again_at, free_at)
                elif isinstance(decision, Run):
                    ready.append(Ready(urgency, module, lane, decision))
                else:
                    look_again_at = min(look_again_at, decision.time)
                    if math.isfinite(decision.time) and not lane.time_limit.apart(1):
                        waiting[lane] = Waiting(urgency, module, policy)
        if not ready:
            ready = self.together.full(waiting)
        self._shares.look(
            (each.module.service for each in ready), (module.service for module in self._modules if module.working)
        )
        if not ready:
            return None, look_again_at
        first = min(ready, key=self._turn)
        return (first.module, first.lane, first.run), look_again_at

    def _turn(self, each: Ready) -> tuple[int, float, float]:
        return -each.urgency.priority, self._shares.turn(each.module.service), each.urgency.deadline

    def longest_batch_s(self) -> float:
        """The longest that a batch, as they have lately been, holds the device, seconds."""
        longest_s = self._longest_s
        if longest_s is None:
            lanes = (lane for module in self._modules for lane in module.lanes)
            self._longest_s = longest_s = max((lane.usual_batch_s() for lane in lanes), default=0.0)
        return longest_s

    def _execute(self, module: Module, lane: Lane, run: Run) -> None:
        part = Part(module, lane, lane.take(run))
        plan = self.together.plan
        if plan is not None and self.together.partners(lane) and not lane.time_limit.apart(run.size):
            self._execute_jointly(plan, part)
        else:
            self._execute_part(part)
        self._longest_s = None

    def _execute_jointly(self, plan: JointPlan, due: Part) -> None:
        """Run it with whoever can join it. Whatever goes wrong there, everybody's items run without the others'."""
        parts = self._joined(plan, due)
        started_at = self._clock()
        try:
            done = plan.run(parts, self._clock, self._hand_over)
        except Exception as error:  # noqa: BLE001 who is to blame shows when each runs alone
            log.warning("a batch of several modules failed", extra={"modules": len(parts), "error": str(error)})
            seconds = self._clock() - started_at
            self._account(started_at, seconds)
            to_blame = [part for part in parts if not self._execute_part(part)]
            for part in to_blame:
                self.together.expelled[part.lane] = first_line(error)
            if to_blame:
                self._charge(started_at, [(part, seconds / len(to_blame)) for part in to_blame])
            else:
                self.together.give_up(first_line(error))
            return
        seconds = sum(each.seconds for each in done)
        self._account(started_at, seconds)
        self._hand_over()
        self._charge(started_at, [(each.part, each.seconds) for each in done])
        for each in done:
            each.part.module.over_limit += each.part.lane.time_limit.ran_with_others(each.seconds)
            each.part.lane.observe(len(each.part.items), each.seconds, seconds - each.seconds)
            part = each.part
            self._finished.append(BatchDone(part.module, part.lane, part.items, started_at, seconds, each.outputs))

    def _joined(self, plan: JointPlan, due: Part) -> list[Part]:
        """The batch that is due, and what joins it: who would be next goes first."""
        now = self._clock()
        limits = self._limits.allowances()
        held = {service for service, limit in limits.items() if limit.free_at > now}
        may = (module for module in self._modules if module.service not in held)

        def first(module: Module, lane: Lane) -> tuple[float, float]:
            return -lane.priority, self.used_s.get(module.service, 0.0)

        return self.together.joined(plan, due, may, now, first)

    def _execute_part(self, part: Part) -> bool:
        """Run one module's items by themselves; whether its program could."""
        module, lane, items = part.module, part.lane, part.items
        started_at = self._clock()
        outputs = self._try(lane, items)
        seconds = self._clock() - started_at
        self._account(started_at, seconds)
        self._charge(started_at, [(part, seconds)])
        if not isinstance(outputs, Exception):
            lane.observe(len(items), seconds)
        module.over_limit += lane.ran_alone(started_at, len(items), seconds)
        if isinstance(outputs, Exception) and len(items) > 1:
            self._execute_one_by_one(module, lane, items)
            return False
        self._hand_over()
        self._finished.append(BatchDone(module, lane, items, started_at, seconds, outputs))
        return not isinstance(outputs, Exception)

    def _account(self, started_at: float, seconds: float) -> None:
        self._ran_at = started_at + seconds
        self.busy_s += seconds

    def _charge(self, began_at: float, used: Iterable[tuple[Part, float]]) -> None:
        """Seconds of the device's time, from then on, that services have to answer for; before what they took is
        learned from."""
        charged: defaultdict[str, float] = defaultdict(float)
        in_turn: defaultdict[str, float] = defaultdict(float)
        for part, seconds in used:
            service, usual_s = part.module.service, part.lane.latency.seconds(len(part.items))
            charged[service] += seconds
            in_turn[service] += min(seconds, STOOD_STILL * usual_s)
            self.used_s[service] = self.used_s.get(service, 0.0) + seconds
        self._shares.charge(in_turn)
        self._limits.charge(began_at, charged)

    def _execute_one_by_one(self, module: Module, lane: Lane, items: list[Item]) -> None:
        """A batch failed: run its items by themselves, so that only the one that a model cannot take is dropped."""
        for position, item in enumerate(items):
            if lane.time_limit.open:
                self._on_dropped(ItemsDropped(module, lane, items[position:], lane.time_limit.why()))
                return
            self._execute_alone(module, lane, item)

    def _execute_alone(self, module: Module, lane: Lane, item: Item) -> None:
        started_at = self._clock()
        outputs = self._try(lane, [item])
        seconds = self._clock() - started_at
        self._account(started_at, seconds)
        self._charge(started_at, [(Part(module, lane, [item]), seconds)])
        module.over_limit += lane.ran_alone(started_at, 1, seconds)
        self._hand_over()
        self._on_done([BatchDone(module, lane, [item], started_at, seconds, outputs)])

    def _hand_over(self) -> None:
        """Give what ran last to the workers: when the next one is about to run, or none is due.

        Not before: decoding is Python, and would compete with this thread for the interpreter while it prepares the
        next batch; while that runs, this thread does without.
        """
        done, self._finished = self._finished, []
        if done:
            self._on_done(done)

    def _try(self, lane: Lane, items: list[Item]) -> Arrays | Exception:
        try:
            batch = lane.normalise([item.prepared.picture for item in items])
            self._hand_over()
            return [array_of(output) for output in lane.version.compiled(batch)]
        except Exception as error:  # noqa: BLE001 a model may raise anything; it costs its items, not the thread
            log.warning(
                "a model raised",
                extra={"service": lane.service, "module_name": lane.module, "items": len(items), "error": str(error)},
            )
            return error
