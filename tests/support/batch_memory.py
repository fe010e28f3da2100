"""`python -m support.batch_memory`: prints how many pages of memory warm batches take from the system."""

from __future__ import annotations

import resource

import torch

from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.export import from_module
from support.networks import finish

BATCHES = 30
WARM = 30


def main() -> None:
    torch.set_num_threads(1)
    network = torch.nn.Sequential(
        *(torch.nn.Conv2d(3, 32, 3, padding=1), torch.nn.ReLU()),
        *(torch.nn.Conv2d(32, 32, 3, padding=1), torch.nn.MaxPool2d(2)),
    )
    batch = torch.rand(16, 3, 64, 64)
    exported = from_module(network, batch)
    compiled = finish(torch_engine.compile(exported.program, exported.weights, torch.device("cpu")))
    for _ in range(WARM):
        compiled(batch)
    before = _pages()
    for _ in range(BATCHES):
        compiled(batch)
    print(_pages() - before)


def _pages() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt


if __name__ == "__main__":
    main()
