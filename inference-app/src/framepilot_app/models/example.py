"""The example of a model: an input that it is checked with wherever it is loaded. Made once, when it is packed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from framepilot_app.frames import Image
from framepilot_app.models.model import ModelError
from framepilot_app.models.spec import InputSpec

SEED: Final = 0
SEEDED_CELLS: Final = 8


def seeded_image(spec: InputSpec) -> Image:
    """An image of the input's size with areas and noise, as pictures have them; always the same one."""
    generator = np.random.default_rng(SEED)
    areas = generator.integers(0, 256, (SEEDED_CELLS, SEEDED_CELLS, 3), dtype=np.uint8)
    noise = generator.integers(-24, 25, (spec.height, spec.width, 3), dtype=np.int16)
    smooth = cv2.resize(areas, (spec.width, spec.height), interpolation=cv2.INTER_LINEAR)
    image: Image = np.clip(smooth.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    return image


def read_image(path: Path, spec: InputSpec) -> Image:
    """A picture from a file, stretched to the input's size.

    Raises:
        ModelError: it is not a picture that OpenCV reads.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ModelError(path, "is not a picture that can be read; give a PNG or JPEG file")
    return cv2.resize(image, (spec.width, spec.height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def as_input(image: Image, spec: InputSpec) -> torch.Tensor:
    """The network's input for an image of its size: 1 x 3 x height x width, float32."""
    pixels = image if spec.colour == "bgr" else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    mean, scale = np.array(spec.mean, np.float32), np.array(spec.scale, np.float32)
    values = (np.asarray(pixels, np.float32) - mean) * scale
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[np.newaxis]))
