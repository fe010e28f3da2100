"""Small networks that use what the sample models use, and what drives a generator of steps to its end."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import torch
from torch import nn

Result = TypeVar("Result")


class Residual(nn.Module):
    """Convolutions with batch norm, a residual sum, a transposed convolution, pooling and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(True)
        )
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16), nn.ReLU(True))
        self.point = nn.Sequential(nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16))
        self.up = nn.Sequential(nn.ConvTranspose2d(16, 8, 2, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.dropout = nn.Dropout()
        self.head = nn.Linear(16, 5)
        randomise_norms(self)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.stem(image)
        features = torch.relu(features + self.point(self.depthwise(features)))
        pooled = nn.functional.max_pool2d(features, 3, stride=2, padding=1).mean((2, 3))
        scores = self.head(self.dropout(pooled.flatten(1))).softmax(1)
        return torch.sigmoid(self.up(features)), scores


def randomise_norms(module: nn.Module) -> None:
    """Give every batch norm statistics of its own, as a trained network has."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.uniform_(-0.5, 0.5)


def finish(steps: Generator[object, None, Result]) -> Result:
    """Run a generator to its end and give what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def largest_difference(ours: tuple[torch.Tensor, ...], theirs: tuple[torch.Tensor, ...]) -> float:
    """Over all outputs, absolute."""
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
