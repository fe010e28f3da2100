"""Whether a network's shapes fit its declared task."""

from __future__ import annotations

import pytest

from framepilot_app.models.fit import Shape, input_misfit, output_misfit
from framepilot_app.models.spec import ClassificationOutput, DetectionOutput, EmbeddingOutput, InputSpec, OutputSpec

INPUT = InputSpec(width=64, height=32)
CLASSES = ClassificationOutput(labels=("a", "b", "c"))
VECTOR = EmbeddingOutput(size=16)
FACES = DetectionOutput(decoder="centerface", labels=("face",))


@pytest.mark.parametrize(
    ("declared", "shapes"),
    [
        (CLASSES, [(2, 3)]),
        (VECTOR, [(2, 16)]),
        (FACES, [(2, 1, 8, 16), (2, 2, 8, 16), (2, 2, 8, 16), (2, 10, 8, 16)]),
    ],
)
def test_outputs_that_fit(declared: OutputSpec, shapes: list[Shape]) -> None:
    assert output_misfit(declared, INPUT, 2, shapes) is None


@pytest.mark.parametrize(
    ("declared", "shapes", "says"),
    [
        (CLASSES, [(2, 4)], "a classification with 3 labels takes scores of 2 x 3, the network gives 2 x 4"),
        (CLASSES, [(3,)], "the network gives 3"),
        (CLASSES, [(2, 3), (2, 3)], "takes 1 output(s), the network has 2"),
        (CLASSES, [()], "gives a scalar"),
        (CLASSES, [(1, 3)], "gives 1 x 3"),
        (VECTOR, [(2, 16, 1, 1)], "an embedding of size 16 takes vectors of 2 x 16, the network gives 2 x 16 x 1 x 1"),
        (FACES, [(2, 1, 8, 16)] * 4, "takes scale of 2 x 2 x 8 x 16, the network gives 2 x 1 x 8 x 16"),
        (FACES, [(2, 3)], "a detection with decoder 'centerface' takes 4 output(s), the network has 1"),
    ],
)
def test_outputs_that_do_not_fit_are_named(declared: OutputSpec, shapes: list[Shape], says: str) -> None:
    assert says in (output_misfit(declared, INPUT, 2, shapes) or "")


def test_the_input_must_be_a_batch_of_the_declared_images() -> None:
    assert input_misfit(INPUT, (4, 3, 32, 64)) is None
    for shape in [(3, 32, 64), (0, 3, 32, 64), (1, 1, 32, 64), (1, 3, 64, 32)]:
        assert "N x 3 x 32 x 64" in (input_misfit(INPUT, shape) or "")
