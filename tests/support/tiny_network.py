"""Small torch modules for 8 x 8 images, to be packed from their factories: `support.tiny_network:classifier`."""

from __future__ import annotations

import torch
from torch import nn


def classifier() -> nn.Module:
    """Two labels, with a convolution and a batch norm to fold."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    norm = network[1]
    with torch.no_grad():
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.5, 2)
    return network.eval()


def sorter() -> nn.Module:
    """Uses an operator that no program may use."""

    class Sorter(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.sort(images.mean((2, 3)), dim=1).values[:, :2]

    return Sorter()


def not_a_network() -> str:
    return "?"


def broken() -> nn.Module:
    raise OSError("no weights here")
