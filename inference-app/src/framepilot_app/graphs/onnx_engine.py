"""ONNX Runtime: a session of its own for each program, on as many threads as torch has.

Making a session and running it let go of the interpreter (measured: a thread beside them is never held for longer than
without them), so neither is felt beside serving.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from framepilot_app.graphs.engine import Compiled, Outputs, Run, WholeBatches
from framepilot_app.graphs.file_engine import FileEngine
from framepilot_app.graphs.onnx_form import ONNX
from framepilot_app.graphs.program import ImageInput


def _preload() -> None:
    """Import it, which holds the interpreter for a tenth of a second."""
    import onnxruntime  # noqa: F401, PLC0415 an extra


def _open_model(file: Path, image: ImageInput, threads: int) -> Compiled:
    """A program's session."""
    run = open_file(file, threads)
    return WholeBatches(image, file.stat().st_size, lambda batch: run([batch]))


def open_file(file: Path, threads: int) -> Run:
    """Make a session; whatever ONNX Runtime raises is a reason not to use it."""
    import onnxruntime  # noqa: PLC0415 an extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait would take the cores that decode and prepare.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads > 1:
        # Its own threads shall take subnormal numbers for 0, as the device thread does; the one that opens it then
        # does for ever, so where there are none it is not asked for.
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # An arena would keep what the largest batch needed, for each session; the heap gives it to the next one.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    names = [each.name for each in session.get_inputs()]

    def run(values: Sequence[torch.Tensor]) -> Outputs:
        arrays = [each.contiguous().numpy() for each in values]
        outputs = session.run(None, dict(zip(names, arrays, strict=True)))
        return tuple(torch.from_numpy(output) for output in outputs)

    return run


ENGINE: Final = FileEngine(ONNX, _open_model, package="onnxruntime", preload=_preload)
