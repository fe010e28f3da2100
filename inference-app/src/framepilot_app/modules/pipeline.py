"""A frame's way through a service: prepare, (device thread), decode, the next modules, and out.

Every step runs on a worker and ends by queueing the next one; the device thread stands between `_prepare` and
`_decode`. Whatever goes wrong on the way drops the frame with its reason, after all of it has come back.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from framepilot_app.frames import Delivered, Dropped, DropReason, Frame, Prediction
from framepilot_app.models.spec import InputSpec
from framepilot_app.modules.device import BatchDone, ItemsDropped
from framepilot_app.modules.graph import Node
from framepilot_app.modules.journey import WHOLE_FRAME, Journey, Region
from framepilot_app.modules.lane import Lane
from framepilot_app.modules.module import Module
from framepilot_app.modules.preprocess import Pictures
from framepilot_app.modules.queue import Item
from framepilot_app.modules.stage_window import StageTimes
from framepilot_app.modules.tasks.decode import decode
from framepilot_app.modules.work import Workers


@dataclass(frozen=True, slots=True)
class _Visit:
    """A module's turn with a frame, to be prepared."""

    journey: Journey
    node: Node
    lane: Lane
    regions: tuple[Region, ...]


class Pipeline:
    """The steps of all services of an instance. Bound to no graph: every journey brings its own."""

    def __init__(
        self,
        workers: Workers,
        wake_device: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workers = workers
        self._wake_device = wake_device
        self._clock = clock
        self._pictures = Pictures()
        # By frame and kind of picture: what is prepared in one go, as it is the same for a hundred services.
        self._to_prepare: dict[tuple[int, InputSpec], list[_Visit]] = {}
        self._lock = threading.Lock()

    def start(self, journey: Journey) -> None:
        """A frame was admitted: the modules that take the frame itself begin."""
        for root in journey.graph.roots:
            self._visit(journey, root, (WHOLE_FRAME,))

    def batch_done(self, done: BatchDone) -> float:
        """A batch of this service has run (called on a worker); seconds from its end until its outputs were decoded."""
        predictions = _predictions(done)
        decoded_at = self._clock()
        post_s = decoded_at - (done.started_at + done.seconds)
        done.module.count(
            [StageTimes(item.pre_s, done.started_at - item.arrived_at, done.seconds, post_s) for item in done.items]
        )
        for item, prediction in zip(done.items, predictions, strict=True):
            if isinstance(prediction, Exception):
                detail = f"module '{done.module.name}', version {done.lane.version.spec.version}: {prediction}"
                item.journey.drop(Dropped(item.journey.frame, DropReason.ERROR, detail))
        self._leave(done.module, done.lane, done.items, predictions)
        return post_s

    def items_dropped(self, dropped: ItemsDropped) -> None:
        """Items of this service will not run (called on a worker)."""
        reason, detail = DropReason.LATE, f"module '{dropped.module.name}' could not have run it before its deadline"
        if dropped.stopped is not None:
            version = dropped.lane.version.spec.version
            reason, detail = DropReason.ERROR, f"module '{dropped.module.name}', version {version}: {dropped.stopped}"
        for item in dropped.items:
            item.journey.drop(Dropped(item.journey.frame, reason, detail))
        self._leave(dropped.module, dropped.lane, dropped.items, [None] * len(dropped.items))

    def _visit(self, journey: Journey, node: Node, regions: tuple[Region, ...]) -> None:
        """A module's turn with a frame: its items are announced now and prepared on a worker."""
        node.module.visit(len(regions))
        if not regions:
            journey.open_module(node.module.name, node.module.model_name, _version(node.module), ())
            self._module_done(journey, node)
            return
        lane = node.module.enter(len(regions))
        journey.open_module(node.module.name, lane.version.spec.name, lane.version.spec.version, regions)
        visit = _Visit(journey, node, lane, regions)
        key = id(journey.frame.image), lane.version.spec.input
        with self._lock:
            visits = self._to_prepare.setdefault(key, [])
            visits.append(visit)
        if visits[0] is visit:
            self._workers.submit(functools.partial(self._prepare_all, key))

    def _prepare_all(self, key: tuple[int, InputSpec]) -> None:
        with self._lock:
            visits = self._to_prepare.pop(key)
        for visit in visits:
            self._prepare(visit)
        self._wake_device()

    def _prepare(self, visit: _Visit) -> None:
        journey, node, lane, regions = visit.journey, visit.node, visit.lane, visit.regions
        try:
            items = self._items(visit)
        except Exception as error:  # noqa: BLE001 a picture that cannot be prepared costs its frame, not the worker
            detail = f"module '{node.module.name}' could not prepare it: {error}"
            journey.drop(Dropped(journey.frame, DropReason.ERROR, detail))
            for index in range(len(regions)):
                if journey.record(node.module.name, index, None):
                    self._module_done(journey, node)
            node.module.leave(lane, len(regions))
            return
        lane.push(items)

    def _items(self, visit: _Visit) -> list[Item]:
        journey, node, spec = visit.journey, visit.node, visit.lane.version.spec.input
        deadline = journey.frame.deadline - node.tail_s()
        items = []
        for index, region in enumerate(visit.regions):
            before = self._clock()
            prepared = self._pictures.prepare(journey.frame.image, region.box, spec)
            now = self._clock()
            items.append(Item(journey, node, index, prepared, deadline, arrived_at=now, pre_s=now - before))
        return items

    def _leave(
        self, module: Module, lane: Lane, items: Sequence[Item], predictions: Sequence[Prediction | Exception | None]
    ) -> None:
        for item, prediction in zip(items, predictions, strict=True):
            result = None if isinstance(prediction, Exception) else prediction
            if item.journey.record(module.name, item.index, result):
                self._module_done(item.journey, item.node)
        module.leave(lane, len(items))

    def _module_done(self, journey: Journey, node: Node) -> None:
        """All items of a module are back: its detections go on, or the frame has come to its end."""
        children = () if journey.dropped else node.children
        ended = journey.branch(len(children))
        if children:
            boxes = journey.detections(node.module.name)
            for child in children:
                chosen = tuple(Region(index, box) for index, box in enumerate(boxes) if box.score >= child.min_score)
                self._visit(journey, child, chosen)
        elif ended:
            journey.on_end(journey, journey.dropped or self._delivered(journey))

    def _delivered(self, journey: Journey) -> Delivered:
        frame: Frame = journey.frame
        return Delivered(frame, journey.results(), (self._clock() - frame.captured_at) * 1000)


def _version(module: Module) -> str:
    return module.lane.version.spec.version if module.lane else ""


def _predictions(done: BatchDone) -> Sequence[Prediction | Exception]:
    """What each item's output says; an output that does not fit the task costs its own item only."""
    if isinstance(done.outputs, Exception):
        return [done.outputs] * len(done.items)
    output = done.lane.version.spec.output
    transforms = [item.prepared.transform for item in done.items]
    try:
        return decode(output, done.outputs, transforms)
    except Exception as error:  # noqa: BLE001 whatever a decoder stumbles over costs the item, not the batch
        if len(done.items) == 1:
            return [error]
    alone: list[Prediction | Exception] = []
    for index, transform in enumerate(transforms):
        try:
            alone += decode(output, [array[index : index + 1] for array in done.outputs], [transform])
        except Exception as error:  # noqa: BLE001
            alone.append(error)
    return alone
