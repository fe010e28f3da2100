"""Embedding: one vector for each item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from framepilot_app.frames import Embedding
from framepilot_app.models.spec import EmbeddingOutput
from framepilot_app.modules.tasks.mismatch import require_shapes


def check_embedding(spec: EmbeddingOutput, shapes: Sequence[tuple[int, ...]]) -> None:
    """One output, N x size.

    Raises:
        OutputMismatch: it is not.
    """
    require_shapes(shapes, [(spec.size,)], f"embedding of size {spec.size}")


def decode_embedding(spec: EmbeddingOutput, outputs: Sequence[NDArray[np.float32]]) -> list[Embedding]:
    """Each item's vector, of length 1 if `normalise` is set; a vector of zeros has no direction and stays as it is.

    Raises:
        OutputMismatch: a shape does not fit.
    """
    check_embedding(spec, [output.shape for output in outputs])
    vectors = outputs[0].astype(np.float64)
    if spec.normalise:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(lengths > 0, lengths, 1)
    return [Embedding(vector) for vector in vectors]
