"""An outcome as a CloudEvent 1.0 in its JSON format (https://github.com/cloudevents/spec, structured mode).

The event is built as a plain dictionary and written by pydantic's serialiser. The `cloudevents` package takes 5 times
as long for a vector of 1280 numbers and holds the interpreter all the while, beside the device thread; the tests read
these events with it instead. Numbers are rounded to what they mean: scores to 4 digits, pixels and milliseconds to
fractions, vectors to 5 significant digits. `docs/schemas/event.v1.json` is the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from framepilot.contract.events import DELIVERED_TYPE, DROPPED_TYPE
from framepilot_app.frames import (
    Box,
    Classification,
    Delivered,
    Detections,
    Dropped,
    Embedding,
    Frame,
    ItemResult,
    Label,
    ModuleResult,
    Outcome,
)

VECTOR_DIGITS = 5


def encode(outcome: Outcome) -> bytes:
    """One event as JSON without a line end. The same outcome always gives the same bytes."""
    match outcome:
        case Delivered(frame=frame, results=results, latency_ms=latency_ms):
            modules = [_module(result) for result in results]
            return _event(frame, DELIVERED_TYPE, {"latencyMs": round(latency_ms, 3), "modules": modules})
        case Dropped(frame=frame, reason=reason, detail=detail):
            return _event(frame, DROPPED_TYPE, {"reason": reason.value, "detail": detail})


def _event(frame: Frame, event_type: str, data: Mapping[str, object]) -> bytes:
    service, stream, epoch, sequence = frame.id
    height, width = frame.image.shape[:2]
    captured = datetime.fromtimestamp(frame.captured_unix, UTC)
    return to_json(
        {
            "specversion": "1.0",
            "id": str(frame.id),
            "source": f"/{service}/{stream}",
            "type": event_type,
            "time": captured.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": {
                "service": service,
                "stream": stream,
                "epoch": epoch,
                "sequence": sequence,
                "width": width,
                "height": height,
                **data,
            },
        }
    )


def _module(result: ModuleResult) -> dict[str, object]:
    return {
        "name": result.module,
        "model": result.model,
        "version": result.version,
        "items": [_item(item) for item in result.items],
    }


def _item(item: ItemResult) -> dict[str, object]:
    match item.prediction:
        case Detections(boxes=boxes):
            return {"parent": item.parent, "boxes": [_box(box) for box in boxes]}
        case Classification(labels=labels):
            return {"parent": item.parent, "labels": [_label(label) for label in labels]}
        case Embedding(vector=vector):
            return {"parent": item.parent, "vector": _significant(vector)}


def _box(box: Box) -> dict[str, object]:
    return {
        "label": box.label,
        "score": round(box.score, 4),
        "x1": round(box.x1, 1),
        "y1": round(box.y1, 1),
        "x2": round(box.x2, 1),
        "y2": round(box.y2, 1),
    }


def _label(label: Label) -> dict[str, object]:
    return {"label": label.label, "score": round(label.score, 4)}


def _significant(values: NDArray[np.float64]) -> list[float]:
    """Each number rounded to `VECTOR_DIGITS` significant digits, all at once."""
    exponents = np.zeros_like(values)
    with np.errstate(divide="ignore"):
        np.log10(np.abs(values), out=exponents, where=values != 0)
    # Dividing an integer by a power of ten gives the float nearest to the decimal, which prints with these digits only;
    # multiplying by a negative power does not. Hence two factors, of which one is 1. Beyond 1e300 a float ends.
    shift = np.minimum(VECTOR_DIGITS - 1 - np.floor(exponents), 300)
    up, down = 10.0 ** np.maximum(shift, 0), 10.0 ** np.maximum(-shift, 0)
    rounded: list[float] = (np.round(values * up / down) / up * down).tolist()
    return rounded
