"""A program that is warm takes no memory from the system: what a batch frees is there for the next one."""

from __future__ import annotations

import os
import resource

import pytest
import torch

from framepilot_app.cli import GLIBC_TUNABLES
from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.export import from_module
from support.networks import finish
from support.torch_threads import torch_threads

SIZE = 16
SIDE = 64
PAGES_OF_A_VALUE = SIZE * 32 * SIDE * SIDE * 4 // 4096


@pytest.mark.skipif(
    os.environ.get("GLIBC_TUNABLES") != GLIBC_TUNABLES,
    reason="the app sets GLIBC_TUNABLES for itself, make test for this",
)
def test_warm_batches_find_their_memory_in_the_process() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 32, 3, padding=1),
        torch.nn.MaxPool2d(2),
    )
    batch = torch.rand(SIZE, 3, SIDE, SIDE)
    exported = from_module(network, batch)
    with torch_threads(1):
        compiled = finish(torch_engine.compile(exported.program, exported.weights, torch.device("cpu")))
        for _ in range(3):
            compiled(batch)
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(10):
            compiled(batch)
        taken = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    assert taken < PAGES_OF_A_VALUE // 10
