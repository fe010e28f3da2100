"""The normaliser: every channel's mean and scale, and the memory that convolutions run fastest on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.models.example import as_input
from framepilot_app.models.spec import InputSpec
from framepilot_app.modules.normalise import Normaliser

CPU = torch.device("cpu")
channel = st.tuples(*[st.floats(-255, 255)] * 3)


@given(mean=channel, scale=channel, seed=st.integers(0, 2**32 - 1), count=st.integers(1, 3))
def test_mean_and_scale_apply_to_each_channel_as_when_the_model_was_packed(mean, scale, seed, count):
    spec = InputSpec(width=5, height=3, colour="bgr", mean=mean, scale=scale)
    pictures = np.random.default_rng(seed).integers(0, 256, (count, 3, 5, 3), np.uint8)
    batch = Normaliser(spec, CPU)(list(pictures))
    expected = torch.cat([as_input(picture, spec) for picture in pictures])
    assert batch.shape == (count, 3, 3, 5)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(batch, expected)


@pytest.mark.parametrize("count", [1, 4])
def test_without_mean_and_scale_the_values_are_the_bytes(count):
    pictures = [np.full((2, 2, 3), value, np.uint8) for value in range(count)]
    batch = Normaliser(InputSpec(width=2, height=2), CPU)(pictures)
    assert [float(image[0, 0, 0]) for image in batch] == list(range(count))
