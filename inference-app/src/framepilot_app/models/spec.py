"""`model.yaml`: what a model is for, what it takes, how its outputs are read, and the digest of every other file."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent

from framepilot.contract.desired import Digest, Name
from framepilot.contract.document import Document, DocumentError, explain

Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


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


class PackSpec(Document):
    """What a person says of a model when packing it: `model.yaml` without the digests."""

    schema_version: Literal[1] = 1
    name: Name
    version: Version
    description: str = ""
    licence: str
    source: str = ""
    input: InputSpec
    output: OutputSpec
    tolerance: Annotated[float, Field(gt=0)] = 1e-3
    """How far the example's output may be from the expected one, absolute, on any device."""


class ModelSpec(PackSpec):
    """The whole of `model.yaml`. `files` maps each other file of the folder to its sha256."""

    files: dict[str, Digest]


Spec = TypeVar("Spec", bound=PackSpec)


def parse_spec(kind: type[Spec], text: bytes, where: str) -> Spec:
    """Read YAML 1.2 as a `PackSpec` or a `ModelSpec`; `where` names the document in errors.

    Raises:
        DocumentError: it is not YAML, has aliases (a few lines of which can stand for gigabytes), or does not validate.
    """
    try:
        return kind.model_validate(_load(text))
    except ValidationError as error:
        raise DocumentError(where, explain(error)) from error
    except YAMLError as error:
        raise DocumentError(where, [f"not YAML: {' '.join(str(error).split())}"]) from error
    except RecursionError as error:
        raise DocumentError(where, ["nested too deeply"]) from error


def _load(text: bytes) -> object:
    if b"&" in text and b"*" in text and any(isinstance(event, AliasEvent) for event in _yaml().parse(text)):
        raise YAMLError("aliases (*name) are not allowed; write the value out")
    try:
        return _yaml().load(text)
    except (ValueError, TypeError) as error:
        raise YAMLError(f"a number or date out of range ({error})") from error


def _yaml() -> YAML:
    # Never the parser in C: text that is nested deeply enough overflows its stack, and ends the process.
    return YAML(typ="safe", pure=True)
