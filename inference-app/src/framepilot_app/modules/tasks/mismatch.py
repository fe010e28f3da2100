"""The one error of this boundary: outputs that are not what `model.yaml` says they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SLACK = 1e-3
"""How far outside 0..1 arithmetic may carry a score."""


class OutputMismatch(ValueError):  # noqa: N818 - it names what happened, as the reports do
    """A model's outputs do not fit its task: what was expected, what came, what to check."""


def require_shapes(shapes: Sequence[tuple[int, ...]], expected: Sequence[tuple[int, ...]], task: str) -> None:
    """Compare the shapes of all outputs; the first dimension is the batch, any number but the same in all.

    `expected` has the shapes without it.

    Raises:
        OutputMismatch: they differ.
    """
    batches = {shape[:1] for shape in shapes}
    if len(batches) != 1 or [shape[1:] for shape in shapes] != list(expected):
        wanted, got = " and ".join(map(_with_batch, expected)), " and ".join(map(_plain, shapes))
        raise OutputMismatch(
            f"{task}: expected {wanted}, the model gives {got or 'no output'}; "
            "check output and input size in model.yaml against the program"
        )


def require_finite(outputs: Sequence[NDArray[np.float32]], task: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        OutputMismatch: there is one, anywhere.
    """
    for position, output in enumerate(outputs):
        if not np.isfinite(output).all():
            raise OutputMismatch(f"{task}: output {position} holds NaN or infinity; check the weights and the input")


def require_scores(scores: NDArray[np.floating], task: str, advice: str) -> None:
    """Refuse scores outside 0..1, but for what arithmetic may carry them over.

    Raises:
        OutputMismatch: one is.
    """
    low, high = scores.min(initial=0), scores.max(initial=0)
    if low < -SLACK or high > 1 + SLACK:
        raise OutputMismatch(f"{task}: scores from {low:.4g} to {high:.4g} are not in 0..1; {advice}")


def _with_batch(shape: tuple[int, ...]) -> str:
    return " x ".join(["N", *map(str, shape)])


def _plain(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
