"""Pays once, before anything is served, for what would otherwise make one step of loading a model many times longer.

Measured in a process with torch: a full garbage collection looks at 190,000 objects and more that imports left behind,
takes 50 to 100 ms, and comes whenever some thousand new objects have survived; the first convolution and the first
packing load code and take 2 to 10 ms; importing another engine holds the interpreter for 100 to 600 ms.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from typing import Final

import torch

from framepilot_app.graphs.file_engines import preload
from framepilot_app.graphs.operators import CONVOLUTION
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, ParameterRef, Program
from framepilot_app.graphs.torch_engine import compile as compile_program

_CHANNELS: Final = 16


def warm_up(device: torch.device) -> None:
    """Call it once, on the thread that owns the device, after all imports."""
    compute_as_served()
    if device.type == "cpu":
        preload()
    for _ in _steps(device):
        pass
    gc.collect()
    gc.freeze()


def compute_as_served() -> None:
    """How the calling thread computes from now on.

    It takes subnormal numbers for 0: they are of no use in a network, and a CPU computes with them many times slower.
    """
    torch.set_flush_denormal(True)
    # Optimizing a script would take tens of milliseconds at its first batches, and find nothing that is not fused.
    torch._C._set_graph_executor_optimize(False)  # noqa: SLF001 no public way


def _steps(device: torch.device) -> Generator[None, None, None]:
    compiled = yield from compile_program(_program(), _weights(), device)
    yield from compiled.steps(torch.zeros(1, _CHANNELS, 8, 8))


def _program() -> Program:
    """One of each kind of kernel: convolution, with relu, with a sum; a transposed one; one that is not packed."""
    return Program(
        ImageInput("image", _CHANNELS, 8, 8),
        (
            _convolution("first", "image", transposed=False),
            Node("relu", "aten.relu.default", (NodeRef("first"),), {}, (-1, _CHANNELS, 8, 8)),
            _convolution("second", "relu", transposed=False),
            Node("sum", "aten.add.Tensor", (NodeRef("second"), NodeRef("relu"))),
            _convolution("third", "sum", transposed=True),
            Node("mean", "aten.mean.dim", (NodeRef("third"), (2, 3))),
        ),
        ("mean",),
        ("weight", "bias"),
    )


def _convolution(name: str, source: str, *, transposed: bool) -> Node:
    weights = (NodeRef(source), ParameterRef("weight"), ParameterRef("bias"))
    return Node(name, CONVOLUTION, (*weights, (1, 1), (1, 1), (1, 1), transposed, (0, 0), 1), {}, (-1, _CHANNELS, 8, 8))


def _weights() -> dict[str, torch.Tensor]:
    return {"weight": torch.zeros(_CHANNELS, _CHANNELS, 3, 3), "bias": torch.zeros(_CHANNELS)}
