from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from framepilot_app.models.spec import ClassificationOutput, DetectionOutput, EmbeddingOutput, InputSpec
from framepilot_app.modules.preprocess import Transform
from framepilot_app.modules.tasks.decode import check_outputs, decode
from framepilot_app.modules.tasks.mismatch import OutputMismatch

SAME = Transform(1, 1, 0, 0, 64, 32)
INPUT = InputSpec(width=64, height=32)
FACES = DetectionOutput(decoder="centerface", labels=("face",))
AGES = ClassificationOutput(labels=("young", "middle", "old"), top=2)
VECTORS = EmbeddingOutput(size=4)
MAPS = [(1, 8, 16), (2, 8, 16), (2, 8, 16), (10, 8, 16)]


def maps(*faces, batch=1):
    """CenterFace outputs with faces of (item, row, column, score, width, height, dx, dy)."""
    heat, scale, offset, landmarks = (np.zeros((batch, *shape), np.float32) for shape in MAPS)
    for item, row, column, score, width, height, dx, dy in faces:
        heat[item, 0, row, column] = score
        scale[item, :, row, column] = math.log(height / 4), math.log(width / 4)
        offset[item, :, row, column] = dy, dx
    return [heat, scale, offset, landmarks]


def corners(box):
    return box.x1, box.y1, box.x2, box.y2


def shapes(batch, parts):
    return [(batch, *shape) for shape in parts]


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize(("spec", "parts"), [(FACES, MAPS), (AGES, [(3,)]), (VECTORS, [(4,)])])
def test_outputs_that_fit_their_task_pass(spec, parts, batch):
    check_outputs(spec, shapes(batch, parts), INPUT)


@pytest.mark.parametrize(
    ("spec", "found", "expected"),
    [
        (FACES, shapes(1, MAPS[:3]), "N x 1 x 8 x 16 and N x 2 x 8 x 16"),
        (FACES, shapes(1, MAPS[::-1]), "N x 1 x 8 x 16"),
        (FACES, shapes(1, [(1, 4, 16), *MAPS[1:]]), "1 x 1 x 4 x 16"),
        (FACES, [], "no output"),
        (AGES, [(1, 2)], "classification with 3 labels: expected N x 3, the model gives 1 x 2"),
        (AGES, [(1, 3), (1, 3)], "N x 3"),
        (AGES, [(3,)], "N x 3"),
        (AGES, [(1, 3, 1, 1)], "N x 3"),
        (VECTORS, [(1, 5)], "embedding of size 4: expected N x 4"),
        (VECTORS, [()], "N x 4"),
    ],
)
def test_outputs_that_do_not_fit_say_what_was_expected(spec, found, expected):
    with pytest.raises(OutputMismatch, match=expected):
        check_outputs(spec, found, INPUT)


def test_outputs_of_different_batches_do_not_fit():
    with pytest.raises(OutputMismatch, match="2 x 2 x 8 x 16"):
        check_outputs(FACES, [(1, *MAPS[0]), *shapes(2, MAPS[1:])], INPUT)


def test_centerface_needs_one_label_and_a_size_in_multiples_of_four():
    with pytest.raises(OutputMismatch, match="one label, not 2"):
        check_outputs(FACES.model_copy(update={"labels": ("a", "b")}), shapes(1, MAPS), INPUT)
    with pytest.raises(OutputMismatch, match="multiples of 4, got 66 x 32"):
        check_outputs(FACES, shapes(1, MAPS), InputSpec(width=66, height=32))


def test_a_face_is_where_heat_offset_and_scale_say():
    (found,) = decode(FACES, maps((0, 3, 5, 0.9, 12, 8, 0.25, -0.5)), [SAME])
    (box,) = found.boxes
    # Centre: column (5 + 0.25 + 0.5) * 4 = 23, row (3 - 0.5 + 0.5) * 4 = 12.
    assert corners(box) == pytest.approx((17, 8, 29, 16), abs=1e-4)
    assert box.score == pytest.approx(0.9)
    assert box.label == "face"


def test_boxes_are_mapped_to_the_frame():
    transform = Transform(2, 3, 100, 50, 1000, 1000)
    (found,) = decode(FACES, maps((0, 3, 5, 0.9, 12, 8, 0.25, -0.5)), [transform])
    assert corners(found.boxes[0]) == pytest.approx((134, 74, 158, 98), abs=1e-3)


def test_boxes_are_clipped_to_the_frame():
    (found,) = decode(FACES, maps((0, 0, 0, 0.9, 20, 20, 0, 0)), [Transform(1, 1, 0, 0, 9, 7)])
    assert corners(found.boxes[0]) == pytest.approx((0, 0, 9, 7))


def test_boxes_in_the_padding_are_none():
    (found,) = decode(FACES, maps((0, 0, 0, 0.9, 2, 2, 0, 0)), [Transform(1, 1, 0, -16, 64, 16)])
    assert found.boxes == ()


def test_cold_cells_are_no_faces():
    (found,) = decode(FACES, maps((0, 3, 5, 0.49, 12, 8, 0, 0)), [SAME])
    assert found.boxes == ()


def test_neighbours_of_a_face_are_suppressed_and_others_sorted_best_first():
    outputs = maps((0, 3, 4, 0.7, 12, 12, 0, 0), (0, 3, 5, 0.8, 12, 12, 0, 0), (0, 3, 13, 0.95, 8, 8, 0, 0))
    (found,) = decode(FACES, outputs, [SAME])
    assert [box.score for box in found.boxes] == pytest.approx([0.95, 0.8])


def test_at_most_max_detections_remain():
    outputs = maps(*[(0, 4, column, 0.5 + column / 100, 2, 2, 0, 0) for column in range(16)])
    (found,) = decode(FACES.model_copy(update={"max_detections": 3}), outputs, [SAME])
    assert [box.score for box in found.boxes] == pytest.approx([0.65, 0.64, 0.63])


def test_each_item_of_a_batch_has_its_own_boxes():
    outputs = maps((0, 3, 5, 0.9, 12, 8, 0, 0), (2, 3, 5, 0.8, 12, 8, 0, 0), batch=3)
    found = decode(FACES, outputs, [SAME, SAME, Transform(2, 2, 0, 0, 500, 500)])
    assert [len(item.boxes) for item in found] == [1, 0, 1]
    assert corners(found[2].boxes[0]) == pytest.approx([2 * value for value in corners(found[0].boxes[0])], abs=1e-3)


@given(
    heat=arrays(np.float32, (1, 1, 8, 16), elements=st.floats(0, 1, width=32)),
    scale=arrays(np.float32, (1, 2, 8, 16), elements=st.floats(-50, 50, width=32)),
    offset=arrays(np.float32, (1, 2, 8, 16), elements=st.floats(-100, 100, width=32)),
    x=st.floats(-100, 100),
    factor=st.floats(0.1, 20),
)
def test_boxes_lie_in_the_frame_best_first_whatever_the_maps_hold(heat, scale, offset, x, factor):
    outputs = [heat, scale, offset, np.zeros((1, 10, 8, 16), np.float32)]
    (found,) = decode(FACES, outputs, [Transform(factor, factor, x, -x, 300, 200)])
    scores = [box.score for box in found.boxes]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= box.x1 < box.x2 <= 300 and 0 <= box.y1 < box.y2 <= 200 for box in found.boxes)
    assert all(0.5 <= score <= 1 for score in scores)


def test_heat_without_sigmoid_is_refused():
    outputs = maps()
    outputs[0][:] = 4.2
    with pytest.raises(OutputMismatch, match="sigmoid"):
        decode(FACES, outputs, [SAME])


def test_a_size_beyond_all_numbers_is_refused():
    outputs = maps((0, 3, 5, 0.9, 12, 8, 0, 0))
    outputs[1][:] = 1e4
    with pytest.raises(OutputMismatch, match="infinite"):
        decode(FACES, outputs, [SAME])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", range(4))
def test_nan_and_infinity_are_refused_anywhere_in_a_detector(value, position):
    outputs = maps()
    outputs[position][0, -1, -1, -1] = value
    with pytest.raises(OutputMismatch, match=f"output {position} holds NaN or infinity"):
        decode(FACES, outputs, [SAME])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("spec", "size"), [(AGES, 3), (VECTORS, 4)])
def test_nan_and_infinity_are_refused_in_rows(value, spec, size):
    output = np.zeros((2, size), np.float32)
    output[1, 2] = value
    with pytest.raises(OutputMismatch, match="NaN or infinity"):
        decode(spec, [output], [SAME, SAME])


@pytest.mark.parametrize(("spec", "outputs"), [(AGES, [np.zeros((2, 3))]), (VECTORS, [np.zeros((2, 4))])])
def test_a_wrong_number_of_rows_is_refused(spec, outputs):
    with pytest.raises(OutputMismatch, match="expected 3 rows"):
        decode(spec, outputs, [SAME] * 3)


@pytest.mark.parametrize(
    ("spec", "outputs"),
    [
        (AGES, [np.zeros((1, 2))]),
        (VECTORS, [np.zeros((1, 5))]),
        (VECTORS, []),
        (FACES, [np.zeros((1, 2))]),
        (FACES, []),
        (FACES, maps()[:3]),
    ],
)
def test_wrong_shapes_are_refused_while_serving_too(spec, outputs):
    with pytest.raises(OutputMismatch):
        decode(spec, outputs, [SAME])


def test_softmax_gives_the_best_labels_first():
    (found,) = decode(AGES, [np.array([[1.0, 3.0, 2.0]], np.float32)], [SAME])
    total = math.exp(1) + math.exp(2) + math.exp(3)
    assert [label.label for label in found.labels] == ["middle", "old"]
    assert [label.score for label in found.labels] == pytest.approx([math.exp(3) / total, math.exp(2) / total])


def test_a_higher_temperature_is_less_sure():
    logits = np.array([[1.0, 3.0, 2.0]], np.float32)
    (sure,) = decode(AGES, [logits], [SAME])
    (unsure,) = decode(AGES.model_copy(update={"temperature": 4}), [logits], [SAME])
    assert [label.label for label in sure.labels] == [label.label for label in unsure.labels]
    assert unsure.labels[0].score < sure.labels[0].score


def test_scores_are_taken_as_they_are_without_activation():
    spec = AGES.model_copy(update={"activation": "none", "top": 10})
    (found,) = decode(spec, [np.array([[0.25, 0.25, 0.5]], np.float32)], [SAME])
    assert [(label.label, label.score) for label in found.labels] == [("old", 0.5), ("young", 0.25), ("middle", 0.25)]


def test_logits_without_activation_are_refused_with_advice():
    with pytest.raises(OutputMismatch, match="activation: softmax"):
        decode(AGES.model_copy(update={"activation": "none"}), [np.array([[1.0, 3.0, 2.0]], np.float32)], [SAME])


@given(arrays(np.float32, (4, 3), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_softmax_scores_add_up_whatever_the_logits(logits):
    for found in decode(AGES.model_copy(update={"top": 3}), [logits], [SAME] * 4):
        assert sum(label.score for label in found.labels) == pytest.approx(1)
        assert [label.score for label in found.labels] == sorted((x.score for x in found.labels), reverse=True)


def test_an_embedding_is_the_row():
    first, second = decode(VECTORS, [np.arange(8, dtype=np.float32).reshape(2, 4)], [SAME, SAME])
    assert first.vector.tolist() == [0, 1, 2, 3]
    assert second.vector.tolist() == [4, 5, 6, 7]


def test_a_normalised_embedding_has_length_one_and_zero_stays_zero():
    rows = np.array([[3, 0, 4, 0], [0, 0, 0, 0]], np.float32)
    first, second = decode(VECTORS.model_copy(update={"normalise": True}), [rows], [SAME, SAME])
    assert first.vector == pytest.approx((0.6, 0, 0.8, 0))
    assert second.vector.tolist() == [0, 0, 0, 0]
