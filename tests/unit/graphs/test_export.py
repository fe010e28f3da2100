"""Modules become programs that give the same numbers, or are refused with the place and the reason."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from framepilot_app.graphs import aten
from framepilot_app.graphs.export import ExportError, from_module
from framepilot_app.graphs.operators import ALLOWED
from framepilot_app.graphs.program import Program
from support.networks import Residual, largest_difference


class Shuffled(nn.Module):
    """Splits, shuffles and concatenates channels, with shapes that have the batch in them."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        left, right = image.chunk(2, dim=1)
        joined = torch.cat([left, torch.relu(right)], dim=1)
        count, channels, height, width = joined.shape
        return (
            joined.view(count, 2, channels // 2, height, width).transpose(1, 2).reshape(count, channels, height, width)
        )


class Resized(nn.Module):
    """What detectors do between levels: pad, pool, resize, normalise."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        padded = nn.functional.pad(image, (1, 0, 1, 0), value=float("-inf")).amax((2, 3), keepdim=True)
        nearest = nn.functional.interpolate(image, scale_factor=2, mode="nearest")
        smooth = nn.functional.interpolate(nearest, size=(5, 7), mode="bilinear", align_corners=False)
        normal = nn.functional.normalize(nn.functional.adaptive_avg_pool2d(smooth, 1).flatten(1))
        local = nn.functional.local_response_norm(image, 3)
        return {"embedding": normal, "local": local[:, 1:3] + padded[:, :1]}


@pytest.mark.parametrize(
    "module", [Residual(), Shuffled(), Resized(), nn.LayerNorm((4, 4)), nn.GroupNorm(2, 4)], ids=repr
)
def test_a_module_becomes_the_same_function_at_any_batch_size(module: nn.Module) -> None:
    channels = 3 if isinstance(module, Residual) else 4
    side = 16 if isinstance(module, Residual) else 4
    exported = from_module(module, torch.randn(1, channels, side, side))
    assert exported.max_abs_error == 0
    assert {node.op for node in exported.program.nodes} <= ALLOWED
    parsed = Program.parse(exported.program.to_json())
    for size in (1, 5):
        batch = torch.randn(size, channels, side, side)
        with torch.inference_mode():
            output = module(batch)
        expected = tuple(output.values()) if isinstance(output, dict) else output
        expected = (expected,) if isinstance(expected, torch.Tensor) else expected
        assert largest_difference(aten.run(parsed, exported.weights, batch), expected) < 1e-6


def test_shapes_are_noted_with_the_batch_left_open() -> None:
    program = from_module(nn.Conv2d(3, 8, 3), torch.randn(4, 3, 10, 12)).program
    assert (program.input.channels, program.input.height, program.input.width) == (3, 10, 12)
    assert program.nodes[-1].shape == (-1, 8, 8, 10)


def test_parameters_that_nothing_uses_are_left_out() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    exported = from_module(module, torch.randn(1, 3, 4, 4))
    assert set(exported.weights) == set(exported.program.parameters)
    assert not any("num_batches_tracked" in name for name in exported.weights)


class Sorted(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.sort(dim=1).values


class Noisy(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + torch.randn_like(image)


class ByValue(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image if image.sum() > 0 else -image


class OverBatch(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * image.shape[0]


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("constant", torch.ones(1))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return image * 2, self.constant


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Sorted(), "sort.*'aten.sort.default' is not allowed"),
        (Noisy(), "is not allowed"),
        (ByValue(), "torch.export refused it"),
        (OverBatch(), "depends on the batch"),
        (Constant(), "is not computed from the input"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_a_program_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        from_module(module, torch.randn(1, 4, 6, 6))


def test_an_example_that_is_no_image_batch_is_refused() -> None:
    with pytest.raises(ExportError, match="2 dimensions"):
        from_module(nn.Linear(3, 4), torch.randn(2, 3))
