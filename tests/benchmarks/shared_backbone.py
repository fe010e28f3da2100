"""Models that have a part of one backbone in common: the sample embedder, with ends of their own."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import torch

from framepilot_app.app import cores
from framepilot_app.graphs.difference import Common
from framepilot_app.models.diff import compare
from framepilot_app.models.model import Model
from framepilot_app.models.verify import open_model, read_spec
from support.another_end import with_another_end
from support.samples.build import build as samples

LABELS = 4


def write(store: Path, percent: int, count: int) -> list[Model]:
    """Models that share the first `percent` of the backbone's nodes; the parameters of all others are each one's own.

    At 100 only the linear layer behind the backbone is a model's own.
    """
    with multiprocessing.get_context("spawn").Pool(cores()) as pool:
        folders = pool.starmap(_write, [(store, percent, number) for number in range(count)])
    return [Model(folder, *read_spec(folder)) for folder in folders]


def in_common(models: list[Model]) -> Common:
    """What the second model has in common with the first."""
    return compare(*models[:2]).second


def _write(store: Path, percent: int, number: int) -> Path:
    torch.set_num_threads(1)
    backbone = open_model(samples() / "models" / "embedder" / "1")
    nodes = len(backbone.program().nodes)
    exchanged = nodes - round(nodes * percent / 100)
    return with_another_end(backbone, store, f"head-{number}", exchanged, number, LABELS).folder
