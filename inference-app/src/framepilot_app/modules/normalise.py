"""From the bytes of prepared pictures to a model's input, on the device: value = (pixel - mean) * scale.

Workers hand over bytes, a quarter of the size of what the model takes: the device thread reads them from another core's
cache, or copies them to a GPU, and that costs more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from framepilot_app.frames import Image
from framepilot_app.models.spec import InputSpec


class Normaliser:
    """For one model on one device. Called by the device thread."""

    def __init__(self, spec: InputSpec, device: torch.device) -> None:
        self._device = device
        # One value for every byte of a row: torch runs along whole rows, not along three channels.
        self._mean = torch.tensor(spec.mean, dtype=torch.float32, device=device).repeat(spec.width)
        self._scale = torch.tensor(spec.scale, dtype=torch.float32, device=device).repeat(spec.width)

    def __call__(self, pictures: Sequence[Image]) -> torch.Tensor:
        """Pictures of height x width x 3 become N x 3 x height x width, float32, channels last in memory."""
        height, width, channels = pictures[0].shape
        rows = torch.from_numpy(np.concatenate(pictures).reshape(-1, width * channels))
        if self._device.type != "cpu":
            rows = rows.to(self._device, non_blocking=True)
        values = rows.to(torch.float32).sub_(self._mean).mul_(self._scale)
        # In one call: in each of them torch lets go of Python's lock.
        row, picture = width * channels, height * width * channels
        return values.as_strided((len(pictures), channels, height, width), (picture, 1, row, channels))
