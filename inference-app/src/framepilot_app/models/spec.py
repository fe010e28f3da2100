"""`model.yaml`: what a model is for, what it takes, how its outputs are read, and the digest of every other file."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from framepilot.contract.desired import Digest, Name
from framepilot.contract.document import Document


class Resize(StrEnum):
    """How an item is brought to the model's input size."""

    STRETCH = "stretch"  # both sides scaled on their own
    LETTERBOX = "letterbox"  # aspect ratio kept, the rest filled with `pad`


class InputSpec(Document):
    """The input: N x 3 x height x width, float32, value = (pixel - mean) * scale for each channel, pixels in 0..255."""

    width: Annotated[int, Field(ge=1, le=8192)]
    height: Annotated[int, Field(ge=1, le=8192)]
    colour: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (0, 0, 0)
    scale: tuple[float, float, float] = (1, 1, 1)
    resize: Resize = Resize.STRETCH
    pad: Annotated[int, Field(ge=0, le=255)] = 0


class DetectionOutput(Document):
    """Outputs of a detector, decoded by name. `centerface`: heat map, scale, offset, landmarks at stride 4."""

    task: Literal["detection"] = "detection"
    decoder: Literal["centerface"]
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_iou: Annotated[float, Field(gt=0, le=1)] = 0.3
    max_detections: Annotated[int, Field(ge=1, le=1000)] = 100


class ClassificationOutput(Document):
    """One output, N x len(labels); `softmax` turns logits into scores."""

    task: Literal["classification"] = "classification"
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    activation: Literal["none", "softmax"] = "softmax"
    temperature: Annotated[float, Field(gt=0)] = 1
    top: Annotated[int, Field(ge=1)] = 1


class EmbeddingOutput(Document):
    """One output, N x size; `normalise` divides by its Euclidean length."""

    task: Literal["embedding"] = "embedding"
    size: Annotated[int, Field(ge=1)]
    normalise: bool = False


OutputSpec = Annotated[
    DetectionOutput | ClassificationOutput | EmbeddingOutput,
    Field(discriminator="task"),
]


class ModelSpec(Document):
    """The whole of `model.yaml`. `files` maps each other file of the folder to its sha256."""

    schema_version: Literal[1] = 1
    name: Name
    version: str
    description: str = ""
    licence: str
    source: str = ""
    input: InputSpec
    output: OutputSpec
    tolerance: Annotated[float, Field(gt=0)] = 1e-3
    """How far the example's output may be from the expected one, absolute, on any device."""
    files: dict[str, Digest]
