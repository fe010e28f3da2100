"""The device thread: the only thread that touches the device.

Between two batches it looks at every lane, asks the pure batcher, and runs what is due: the highest priority first,
then services by fair share, within a service the tightest deadline first. Candidates are loaded here too, step by step
(`Loading`): at once while the device is idle, in a small share of the time in the gaps between batches, and in a
smaller one under a load that leaves no gap, so that a swap always ends. Loading on a thread beside it would stall every
batch by the interpreter's lock.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from framepilot.scheduling.batcher import Drop, Run, WaitUntil
from framepilot_app.graphs.warm_up import warm_up
from framepilot_app.modules.lane import Lane, Urgency
from framepilot_app.modules.module import Module
from framepilot_app.modules.queue import Item
from framepilot_app.modules.shares import Shares

GAP_SHARE: Final = 0.08
"""Share of the time that loading may take in the gaps between batches: a batch that becomes due in the middle of a step
waits for its end, so steps have to be rare for the tail of latencies not to show them."""

BUSY_SHARE: Final = 0.04
"""The same while a batch is due, so that a load that leaves no gap does not hold up a swap for ever."""

QUIET_S: Final = 0.1
"""Without a batch for so long the device is idle, and loading takes all of its time."""

LOADING_LOOK_S: Final = 0.002
"""How often it looks whether a candidate may go on."""

HEARTBEAT_S: Final = 0.5
"""The longest the thread sleeps: its heartbeat is never older than this plus one batch or step."""

Arrays = list[NDArray[np.float32]]

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
class ItemsLate:
    """Items that could not have made their deadlines any more."""

    module: Module
    lane: Lane
    items: list[Item]


class Loading:
    """A candidate being loaded: a generator of bounded steps, and what they cost. Seconds."""

    def __init__(self, steps: Generator[None, None, None], now: float) -> None:
        self.done: Future[None] = Future()
        self.spent_s = 0.0
        self.longest_s = 0.0
        self.cancelled = False
        self._steps = steps
        self._started_at = now

    def within(self, share: float, now: float) -> bool:
        """Whether it has had no more than this share of the time since it began."""
        return self.spent_s <= share * (now - self._started_at)

    def step(self, clock: Callable[[], float]) -> bool:
        """Take one step. True when it has ended."""
        if self.cancelled:
            self._steps.close()
            self.done.cancel()
            return True
        before = clock()
        try:
            next(self._steps)
        except StopIteration:
            self.done.set_result(None)
        except Exception as error:  # noqa: BLE001 whatever a candidate does wrong is its own refusal
            self.done.set_exception(error)
        took = clock() - before
        self.spent_s += took
        self.longest_s = max(self.longest_s, took)
        return self.done.done()


class DeviceThread:
    """Owns one device. `on_done` and `on_late` are called on the device thread and must hand the work on at once."""

    def __init__(
        self,
        device: torch.device,
        on_done: Callable[[BatchDone], None],
        on_late: Callable[[ItemsLate], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device = device
        self.busy_s = 0.0
        self.heartbeat = clock()
        self._on_done = on_done
        self._on_late = on_late
        self._clock = clock
        self._modules: tuple[Module, ...] = ()
        self._loadings: deque[Loading] = deque()
        self._shares = Shares()
        self._wake = threading.Event()
        self._finished: BatchDone | None = None
        self._ran_at = -math.inf
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
        """The modules whose lanes it serves, from the next batch on."""
        self._modules = modules
        self._wake.set()

    def wake(self) -> None:
        """Something was queued or changed: look again."""
        self._wake.set()

    def load(self, loading: Loading) -> None:
        """Take the steps of a candidate in the gaps; one candidate after the other."""
        self._loadings.append(loading)
        self._wake.set()

    def _run(self) -> None:
        warm_up(self.device)
        while not self._stopping:
            self._wake.clear()
            self.heartbeat = now = self._clock()
            due, look_again_at = self._look(now)
            if due is None:
                self._hand_over()
            stepped = self._load_a_step(now, busy=due is not None)
            if due is not None:
                self._execute(*due)
            elif not stepped:
                longest_s = LOADING_LOOK_S if self._loadings else HEARTBEAT_S
                self._wake.wait(min(max(look_again_at - now, 0.0), longest_s))
        self._hand_over()
        for loading in self._loadings:
            loading.cancelled = True
            loading.step(self._clock)

    def _load_a_step(self, now: float, *, busy: bool) -> bool:
        """One step of the candidate whose turn it is, if it may take one now."""
        if not self._loadings:
            return False
        loading = self._loadings[0]
        share = BUSY_SHARE if busy else 1.0 if now - self._ran_at > QUIET_S else GAP_SHARE
        if not loading.cancelled and not loading.within(share, now):
            return False
        if loading.step(self._clock):
            self._loadings.popleft()
        return True

    def _look(self, now: float) -> tuple[tuple[Module, Lane, Run] | None, float]:
        """The batch that is due first, if any, and when to look again otherwise. What is hopeless is dropped here."""
        ready: list[tuple[Urgency, Module, Lane, Run]] = []
        look_again_at = math.inf
        for module in self._modules:
            for lane in module.lanes:
                decision, urgency = lane.decide(now, module.policy)
                while isinstance(decision, Drop):
                    self._on_late(ItemsLate(module, lane, lane.take(decision)))
                    decision, urgency = lane.decide(now, module.policy)
                if isinstance(decision, WaitUntil):
                    look_again_at = min(look_again_at, decision.time)
                else:
                    ready.append((urgency, module, lane, decision))
        self._shares.activate(module.service for _, module, _, _ in ready)
        if not ready:
            return None, look_again_at
        _, module, lane, run = min(
            ready, key=lambda each: (-each[0].priority, self._shares.used(each[1].service), each[0].deadline)
        )
        return (module, lane, run), look_again_at

    def longest_batch_s(self) -> float:
        """The longest that a batch, as they have lately been, holds the device, seconds."""
        return max((lane.usual_batch_s() for module in self._modules for lane in module.lanes), default=0.0)

    def _execute(self, module: Module, lane: Lane, run: Run) -> None:
        items = lane.take(run)
        started_at = self._clock()
        outputs = self._try(lane, items)
        seconds = self._clock() - started_at
        self._ran_at = started_at + seconds
        self.busy_s += seconds
        self._shares.charge(module.service, seconds)
        if isinstance(outputs, Exception) and len(items) > 1:
            for item in items:
                self._execute_alone(module, lane, item)
            return
        if not isinstance(outputs, Exception):
            lane.observe(len(items), seconds)
        self._hand_over()
        self._finished = BatchDone(module, lane, items, started_at, seconds, outputs)

    def _execute_alone(self, module: Module, lane: Lane, item: Item) -> None:
        """A batch failed: run its items one by one, so that only the one that a model cannot take is dropped."""
        started_at = self._clock()
        outputs = self._try(lane, [item])
        seconds = self._clock() - started_at
        self.busy_s += seconds
        self._hand_over()
        self._on_done(BatchDone(module, lane, [item], started_at, seconds, outputs))

    def _hand_over(self) -> None:
        """Give the last batch to the workers: when the next one is about to run, or none is due.

        Not before: decoding is Python, and would compete with this thread for the interpreter while it prepares the
        next batch; while that runs, this thread does without.
        """
        done, self._finished = self._finished, None
        if done is not None:
            self._on_done(done)

    def _try(self, lane: Lane, items: list[Item]) -> Arrays | Exception:
        try:
            batch = lane.normalise([item.prepared.picture for item in items])
            self._hand_over()
            return [output.cpu().numpy() for output in lane.version.compiled(batch)]
        except Exception as error:  # noqa: BLE001 a model may raise anything; it costs its items, not the thread
            log.warning(
                "a model raised",
                extra={"service": lane.service, "module_name": lane.module, "items": len(items), "error": str(error)},
            )
            return error
