"""One frame's journey through its graph: what is still to come, and what the modules have said so far.

A module is done with a frame when all its items are; only then do its detections become the next modules' items, so
that a detection's index is its place among all detections of that module in the frame.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from framepilot_app.frames import Box, Detections, Dropped, Frame, ItemResult, ModuleResult, Outcome, Prediction

if TYPE_CHECKING:
    from framepilot_app.modules.graph import Graph


@dataclass(frozen=True, slots=True)
class Region:
    """What an item shows: the whole frame (`box` None), or the detection with the index `parent`."""

    parent: int | None
    box: Box | None


WHOLE_FRAME = Region(None, None)


class Journey:
    """Thread-safe. `pending` counts the modules that are under way; the journey ends when it comes to nothing."""

    def __init__(self, frame: Frame, graph: Graph, on_end: Callable[[Journey, Outcome], None]) -> None:
        self.frame = frame
        self.graph = graph
        self.on_end = on_end
        self.dropped: Dropped | None = None
        self._lock = threading.Lock()
        self._pending = len(graph.roots)
        self._visits: dict[str, _Visit] = {}

    def open_module(self, module: str, model: str, version: str, regions: tuple[Region, ...]) -> None:
        """A version of a module takes the items of these regions; all items of one frame go to one version."""
        with self._lock:
            self._visits[module] = _Visit(model, version, regions, [None] * len(regions), len(regions))

    def record(self, module: str, index: int, prediction: Prediction | None) -> bool:
        """An item is done (None: without a result, the frame is dropped). True if it was the module's last one."""
        with self._lock:
            visit = self._visits[module]
            visit.predictions[index] = prediction
            visit.remaining -= 1
            return visit.remaining == 0

    def detections(self, module: str) -> tuple[Box, ...]:
        """All detections of a module that is done, in the order of its items."""
        return tuple(
            box
            for prediction in self._visits[module].predictions
            if isinstance(prediction, Detections)
            for box in prediction.boxes
        )

    def drop(self, outcome: Dropped) -> None:
        """The frame will be dropped once what is under way has come back; the first reason counts."""
        with self._lock:
            self.dropped = self.dropped or outcome

    def branch(self, children: int) -> bool:
        """A module is done and leads to so many others. True if the journey has come to its end."""
        with self._lock:
            self._pending += children - 1
            return self._pending == 0

    def results(self) -> tuple[ModuleResult, ...]:
        """What every module said, in the order of the graph; call at the end."""
        return tuple(self._result(node.module.name, node.module.model_name) for node in self.graph.nodes)

    def _result(self, module: str, model: str) -> ModuleResult:
        visit = self._visits.get(module)
        if visit is None:
            return ModuleResult(module, model, "", ())
        items = tuple(
            ItemResult(region.parent, prediction)
            for region, prediction in zip(visit.regions, visit.predictions, strict=True)
            if prediction is not None
        )
        return ModuleResult(module, visit.model, visit.version, items)


@dataclass(slots=True)
class _Visit:
    model: str
    version: str
    regions: tuple[Region, ...]
    predictions: list[Prediction | None]
    remaining: int
