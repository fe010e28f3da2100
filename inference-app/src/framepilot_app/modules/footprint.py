"""What loading a version takes of memory, estimated from its program and its parameters before anything is loaded.

A version keeps its parameters, packed, with the code that a library makes for them, and what stands around each node in
Python and in torch. What its batches need follows from the shapes that its program says: the values that are there at
one moment, for the largest batch. Warming up every size takes a multiple of that, as what a smaller batch gave back is
too small for the next. An engine beside torch's has parameters and buffers of its own. The factors are at least what
was measured of each sample model, on one thread and on two, as `docs/overload.md` says.
"""

from __future__ import annotations

from typing import Final

import torch

from framepilot.contract.desired import Engine
from framepilot.contract.observed import MemoryKind
from framepilot_app.graphs.convolution import packed
from framepilot_app.graphs.onnx_engines import ONNX_ENGINES
from framepilot_app.graphs.preparation import packs
from framepilot_app.graphs.stage import Stage
from framepilot_app.models.parameters import ParameterStore
from framepilot_app.modules.headroom import Needs
from framepilot_app.modules.loading import TORCHES, Candidate
from framepilot_app.modules.rivals import asked

PACKED: Final = 1.2
"""Of a parameter's bytes: a layout fills up channels to whole vectors."""

CODE_BYTES: Final = 192 << 10
"""Of each parameter: what oneDNN generates for its convolution, for every batch size."""

NODE_BYTES: Final = 24 << 10
"""Of each node, in the instructions and in the script of a program."""

VALUES: Final = 3.4
"""Of the bytes of a batch's values."""

ENGINE_PARAMETERS: Final = 3.0
"""Of the bytes of all parameters, of an engine beside torch's."""

ENGINE_VALUES: Final = {Engine.ONNX_RUNTIME: 5.2, Engine.OPENVINO: 3.4}
"""Of the bytes of a batch's values, of each engine. They run beside the device thread, so all of them count."""


def needs(candidate: Candidate, store: ParameterStore, device: torch.device, largest: int) -> Needs:
    """What it takes to load a candidate whose batches have at most `largest` items; of the memory of its device."""
    program, contents = candidate.program, candidate.parameters.contents
    fusable = packed(program.nodes, contents.types) if packs(device) else frozenset()
    values = largest * Stage.whole(program, fusable).largest_item_bytes
    parameters = store.bytes_of(contents)
    engines = [each for each in asked(candidate.engine, device) if ONNX_ENGINES[each].missing() is None]
    opened = sum(ENGINE_PARAMETERS * sum(parameters.values()) + ENGINE_VALUES[each] * values for each in engines)
    if candidate.engine not in TORCHES:
        return Needs(MemoryKind.HOST, {}, round(opened), 0)
    return Needs(
        MemoryKind.GPU if device.type == "cuda" else MemoryKind.HOST,
        {key: round(PACKED * nbytes) + CODE_BYTES for key, nbytes in parameters.items()},
        round(opened) + NODE_BYTES * len(program.nodes),
        round(VALUES * values),
    )
