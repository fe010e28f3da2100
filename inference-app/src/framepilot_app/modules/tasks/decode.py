"""From the outputs of a batch to one prediction for each of its items, by the task in `model.yaml`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from framepilot_app.frames import Prediction
from framepilot_app.models.spec import ClassificationOutput, DetectionOutput, EmbeddingOutput, InputSpec, OutputSpec
from framepilot_app.modules.preprocess import Transform
from framepilot_app.modules.tasks.centerface import check_centerface, decode_centerface
from framepilot_app.modules.tasks.classification import check_classification, decode_classification
from framepilot_app.modules.tasks.embedding import check_embedding, decode_embedding
from framepilot_app.modules.tasks.mismatch import OutputMismatch, require_finite


def check_outputs(spec: OutputSpec, shapes: Sequence[tuple[int, ...]], input_spec: InputSpec) -> None:
    """Check the shapes of a model's outputs, N first, before it serves.

    Raises:
        OutputMismatch: they do not fit the task.
    """
    match spec:
        case DetectionOutput():
            check_centerface(spec, shapes, input_spec)
        case ClassificationOutput():
            check_classification(spec, shapes)
        case EmbeddingOutput():
            check_embedding(spec, shapes)


def decode(
    spec: OutputSpec, outputs: Sequence[NDArray[np.float32]], transforms: Sequence[Transform]
) -> list[Prediction]:
    """One prediction for each item of a batch. Outputs have N first, N is the number of transforms.

    Raises:
        OutputMismatch: a shape or a value does not fit the task; NaN and infinity never do.
    """
    if any(output.shape[:1] != (len(transforms),) for output in outputs):
        raise OutputMismatch(
            f"{spec.task}: expected {len(transforms)} rows, one for each item of the batch, the model gives "
            f"{[output.shape for output in outputs]}; check that no operator mixes the batch's items"
        )
    require_finite(outputs, spec.task)
    match spec:
        case DetectionOutput():
            return [*decode_centerface(spec, outputs, transforms)]
        case ClassificationOutput():
            return [*decode_classification(spec, outputs)]
        case EmbeddingOutput():
            return [*decode_embedding(spec, outputs)]
