"""CenterFace (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019): boxes as points.

Each cell of a map at a quarter of the input's size says how likely a face has its centre there (heat map), where in the
cell (offset: y, then x), and how large it is (scale: logarithms of height, then width, in cells). So decoding looks at
the few hot cells only, and non-maximum suppression removes their neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from framepilot_app.frames import Box, Detections
from framepilot_app.models.spec import DetectionOutput, InputSpec
from framepilot_app.modules.preprocess import Transform
from framepilot_app.modules.tasks.mismatch import OutputMismatch, require_scores, require_shapes

STRIDE = 4
CHANNELS = (1, 2, 2, 10)
"""Of heat map, scale, offset and landmarks. The landmarks are not used."""
MOST_CANDIDATES = 2000
"""Hot cells of one item that are looked at, best first: suppression takes time by their square."""


def check_centerface(spec: DetectionOutput, shapes: Sequence[tuple[int, ...]], input_spec: InputSpec) -> None:
    """Heat map, scale, offset, landmarks: N x 1, 2, 2, 10 x height / 4 x width / 4.

    Raises:
        OutputMismatch: they are not, or the specification has not exactly one label.
    """
    if len(spec.labels) != 1:
        raise OutputMismatch(f"centerface finds one kind of thing; list one label, not {len(spec.labels)}")
    if input_spec.height % STRIDE or input_spec.width % STRIDE:
        raise OutputMismatch(
            f"centerface needs an input size in multiples of {STRIDE}, got {input_spec.width} x {input_spec.height}"
        )
    size = (input_spec.height // STRIDE, input_spec.width // STRIDE)
    require_shapes(shapes, [(channels, *size) for channels in CHANNELS], "centerface")


def decode_centerface(
    spec: DetectionOutput, outputs: Sequence[NDArray[np.float32]], transforms: Sequence[Transform]
) -> list[Detections]:
    """The boxes of each item in pixels of its frame, clipped to it, best first, at most `max_detections`.

    Raises:
        OutputMismatch: a shape does not fit, scores lie outside 0..1, or a size is beyond all numbers.
    """
    size = outputs[0].shape[2:] if outputs else ()
    if len(size) != 2:
        raise OutputMismatch("centerface: the first output is not a heat map of N x 1 x height x width")
    require_shapes([output.shape for output in outputs], [(channels, *size) for channels in CHANNELS], "centerface")
    heat, scale, offset = (output for output in outputs[:3])
    require_scores(heat, "centerface", "check that the program ends with the heat map's sigmoid")
    return [
        _detections(spec, heat[item, 0], scale[item], offset[item], transform)
        for item, transform in enumerate(transforms)
    ]


def _detections(
    spec: DetectionOutput,
    heat: NDArray[np.float32],
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    transform: Transform,
) -> Detections:
    rows, columns = np.nonzero(heat >= spec.min_score)
    if not len(rows):
        return Detections(())
    best = np.argsort(-heat[rows, columns], kind="stable")[:MOST_CANDIDATES]
    rows, columns = rows[best], columns[best]
    scores = np.clip(heat[rows, columns].astype(np.float64), 0, 1)
    corners = _corners(rows, columns, scale[:, rows, columns], offset[:, rows, columns])

    height, width = heat.shape
    np.clip(corners, 0, np.array([width, height, width, height]) * STRIDE, out=corners)
    kept = _suppress(corners, scores, spec.max_iou)

    factors = np.array([transform.scale_x, transform.scale_y] * 2)
    shifts = np.array([transform.offset_x, transform.offset_y] * 2)
    frame = np.array([transform.frame_width, transform.frame_height] * 2)
    in_frame = np.clip(corners[kept] * factors + shifts, 0, frame).tolist()
    boxes = (
        Box(x1, y1, x2, y2, score, spec.labels[0])
        for (x1, y1, x2, y2), score in zip(in_frame, scores[kept].tolist(), strict=True)
        if x1 < x2 and y1 < y2
    )
    return Detections(tuple(boxes)[: spec.max_detections])


def _corners(
    rows: NDArray[np.intp], columns: NDArray[np.intp], scale: NDArray[np.float32], offset: NDArray[np.float32]
) -> NDArray[np.float64]:
    """x1, y1, x2, y2 of each hot cell's box, in pixels of the model's input."""
    with np.errstate(over="ignore"):
        heights, widths = np.exp(scale.astype(np.float64)) * STRIDE
    if not (np.isfinite(heights).all() and np.isfinite(widths).all()):
        raise OutputMismatch("centerface: the size of a box is infinite; check the order of the model's outputs")
    centres_y = (rows + offset[0].astype(np.float64) + 0.5) * STRIDE
    centres_x = (columns + offset[1].astype(np.float64) + 0.5) * STRIDE
    return np.stack(
        [centres_x - widths / 2, centres_y - heights / 2, centres_x + widths / 2, centres_y + heights / 2], axis=1
    )


def _suppress(corners: NDArray[np.float64], scores: NDArray[np.float64], max_iou: float) -> NDArray[np.intp]:
    """Indices of the boxes that overlap no better one by more than `max_iou`, best first."""
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, max_iou)
    return np.asarray(kept, dtype=np.intp).reshape(-1)
