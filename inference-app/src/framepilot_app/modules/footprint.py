"""What loading a version takes of memory, estimated from its program and its parameters before anything is loaded.

A version keeps its parameters, packed, with the code that a library makes for them, and what stands around each node in
Python and in torch. What its batches need follows from the shapes that its program says: the values that are there at
one moment, for the largest batch. Warming up every size takes a multiple of that, as what a smaller batch gave back is
too small for the next. An engine beside torch's has parameters and buffers of its own. The factors are at least what
was measured of each sample model, on one thread and on two, as `docs/overload.md` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from framepilot.contract.desired import Engine
from framepilot.contract.observed import MemoryKind
from framepilot_app.graphs.aot_form import AOT_INDUCTOR
from framepilot_app.graphs.convolution import packed
from framepilot_app.graphs.file_engines import FILE_ENGINES
from framepilot_app.graphs.onnx_form import ONNX
from framepilot_app.graphs.preparation import packs
from framepilot_app.graphs.stage import Stage
from framepilot_app.graphs.stage_engines import STAGE_ENGINES
from framepilot_app.models.parameters import ParameterStore
from framepilot_app.modules.headroom import Needs
from framepilot_app.modules.loading import TORCHES, Candidate
from framepilot_app.modules.rivals import asked
from framepilot_app.modules.stages import ReadyStage

PACKED: Final = 1.2
"""What a parameter takes in torch, in times its bytes: layouts fill up channels to whole vectors."""

CODE_BYTES: Final = 192 << 10
"""What the code takes that oneDNN generates for it, for all batch sizes."""

NODE_BYTES: Final = 24 << 10
"""What a node takes, in the instructions and in the script of a program."""

VALUES: Final = 5.2
"""What batches take while all sizes are warmed up, in times the bytes of the largest one's values."""

ENGINE_PARAMETERS: Final = 3.0
"""What an engine beside torch's takes, in times the bytes of all parameters."""

ENGINE_VALUES: Final = {Engine.ONNX_RUNTIME: 6.2, Engine.OPENVINO: 4.8, Engine.AOT_INDUCTOR: VALUES}
"""What each takes besides, in times the bytes of the largest batch's values. They run beside the device thread while
they are opened, so all of them count."""

WRITER_BYTES: Final = {ONNX: 32 << 20, AOT_INDUCTOR: 1700 << 20}
"""What the process takes that writes a form of a program, its imports or a compiler; it has ended when the first engine
is opened."""

WRITER_PARAMETERS: Final = 4.0
"""What it takes besides, in times the bytes of all parameters."""


def needs(candidate: Candidate, store: ParameterStore, device: torch.device, largest: int) -> Needs:
    """What it takes to load a candidate whose batches have at most `largest` items; of the memory of its device."""
    program, contents = candidate.program, candidate.parameters.contents
    fusable = packed(program.nodes, contents.types) if packs(device) else frozenset()
    values = largest * Stage.whole(program, fusable).largest_item_bytes
    parameters = store.bytes_of(contents)
    engines = [each for each in asked(candidate.engine, device) if FILE_ENGINES[each].missing() is None]
    beside = _engines_bytes(engines, sum(parameters.values()), values)
    factors = [ENGINE_VALUES[each] for each in engines]
    if candidate.engine not in TORCHES:
        return Needs(MemoryKind.HOST, {}, beside, 0, round(max(factors, default=0) * values))
    return Needs(
        MemoryKind.GPU if device.type == "cuda" else MemoryKind.HOST,
        {key: round(PACKED * nbytes) + CODE_BYTES for key, nbytes in parameters.items()},
        beside + NODE_BYTES * len(program.nodes),
        round(VALUES * values),
        round(max([VALUES, *factors]) * values),
    )


def stage_needs(ready: ReadyStage, largest: int) -> Needs:
    """What it takes to open a stage on the engines beside torch's, for batches of at most `largest` pictures."""
    values = largest * ready.stage.largest_item_bytes
    engines = [each for each in STAGE_ENGINES if FILE_ENGINES[each].missing() is None]
    beside = _engines_bytes(engines, ready.compiled.nbytes, values)
    most = max((ENGINE_VALUES[each] for each in engines), default=0)
    return Needs(MemoryKind.HOST, {}, beside, 0, round(most * values))


def _engines_bytes(engines: Sequence[Engine], parameters: int, values: int) -> int:
    """What engines beside torch's take while they are opened, and before that the process that writes their file."""
    if not engines:
        return 0
    opened = sum(ENGINE_PARAMETERS * parameters + ENGINE_VALUES[each] * values for each in engines)
    written = max(WRITER_BYTES[FILE_ENGINES[each].form] for each in engines) + WRITER_PARAMETERS * parameters
    return round(max(opened, written))
