"""Which of two packed weights a batch takes, from Python and in a script; and what several threads make of it."""

from __future__ import annotations

import pytest
import torch

from framepilot_app.graphs.convolution import Convolution
from framepilot_app.graphs.onednn import ConvolutionCall, SumCall
from framepilot_app.graphs.packed_weight import PackedWeight, alike, pack
from framepilot_app.graphs.script import Script

CONVOLUTION = Convolution("weight", None, [1, 1], [0, 0], [1, 1], transposed=False, groups=1)


def packed(weight: torch.Tensor, batch: int = 2) -> torch.Tensor:
    return pack(CONVOLUTION, weight, [batch, weight.shape[1], 4, 2])


def images(count: int, channels: int) -> torch.Tensor:
    return torch.randn(count, channels, 4, 2).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("same", [True, False])
def test_a_batch_of_one_takes_its_own_weight_and_all_others_the_usual_one(count: int, same: bool) -> None:
    usual, single = torch.randn(8, 6, 1, 1), torch.randn(8, 6, 1, 1)
    ready = packed(usual)
    weight = PackedWeight(ready, ready if same else packed(single, 1))
    alone = ConvolutionCall.of(CONVOLUTION, weight, None, 0, None)
    with_sum = SumCall.of(CONVOLUTION, (8, 6, 1, 1), alone, 1, None, (6, 4, 2))
    image, other = images(count, 6), images(count, 8)
    expected = torch.conv2d(image, single if count == 1 and not same else usual)
    with torch.inference_mode():
        for call, wanted in ((alone, expected), (with_sum, expected + other)):
            script = Script.of((0, 1))
            script.slots[2] = call.write(script)
            written = script.finish((2,))
            assert torch.allclose(call([image, other]), wanted, atol=1e-5)
            assert torch.equal(written(image, other)[0], call([image, other]))


def test_weights_are_alike_whose_layout_is() -> None:
    weight = torch.randn(8, 6, 1, 1)
    assert alike(packed(weight), packed(torch.randn(8, 6, 1, 1)))
    assert not alike(packed(weight), packed(torch.randn(16, 6, 1, 1)))
