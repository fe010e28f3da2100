"""Classification: one row of numbers for each item, one number for each label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from framepilot_app.frames import Classification, Label
from framepilot_app.models.spec import ClassificationOutput
from framepilot_app.modules.tasks.mismatch import require_scores, require_shapes


def check_classification(spec: ClassificationOutput, shapes: Sequence[tuple[int, ...]]) -> None:
    """One output, N x number of labels.

    Raises:
        OutputMismatch: it is not.
    """
    require_shapes(shapes, [(len(spec.labels),)], f"classification with {len(spec.labels)} labels")


def decode_classification(spec: ClassificationOutput, outputs: Sequence[NDArray[np.float32]]) -> list[Classification]:
    """The `top` labels of each item, best first; equal scores in the order of the labels.

    Raises:
        OutputMismatch: a shape does not fit, or scores that are taken as they are lie outside 0..1.
    """
    check_classification(spec, [output.shape for output in outputs])
    scores = _scores(outputs[0].astype(np.float64), spec)
    best = np.argsort(-scores, axis=1, kind="stable")[:, : spec.top]
    return [
        Classification(tuple(Label(spec.labels[index], float(row[index])) for index in order))
        for row, order in zip(scores, best, strict=True)
    ]


def _scores(values: NDArray[np.float64], spec: ClassificationOutput) -> NDArray[np.float64]:
    if spec.activation == "softmax":
        # Less the greatest, so that no exponential overflows.
        powers = np.exp((values - values.max(axis=1, keepdims=True)) / spec.temperature)
        scores: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return scores
    require_scores(values, "classification", "set activation: softmax if they are logits")
    return np.clip(values, 0, 1)
