"""OpenVINO: a compiled model with one request for each program, on as many threads as torch has.

Compiling and running let go of the interpreter. A batch size is compiled for when it first comes, so the first run of
each size takes several times as long as the others: it belongs into the warm-up.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch

from framepilot_app.graphs.engine import Compiled, EngineError, Outputs, Run, WholeBatches
from framepilot_app.graphs.file_engine import FileEngine
from framepilot_app.graphs.onnx_form import ONNX
from framepilot_app.graphs.program import ImageInput


def _preload() -> None:
    """Import it, which holds the interpreter for a few tenths of a second."""
    _core()


def _open_model(file: Path, image: ImageInput, threads: int) -> Compiled:
    """A program's request.

    Raises:
        EngineError: what OpenVINO says, without where in its sources it says so.
    """
    run = open_file(file, threads)
    return WholeBatches(image, file.stat().st_size, lambda batch: run([batch]))


def open_file(file: Path, threads: int) -> Run:
    """Read and compile; whatever OpenVINO raises is a reason not to use it.

    Raises:
        EngineError: what it says, without where in its sources it says so.
    """
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # It would keep threads of ours on cores of its choice.
        "ENABLE_CPU_PINNING": False,
        # Never half precision, which newer processors would take by themselves.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    try:
        compiled = _core().compile_model(_core().read_model(file), "CPU", settings)
    except RuntimeError as error:
        raise EngineError(str(error).strip().rpartition("\n")[2]) from error
    request = compiled.create_infer_request()
    count = len(compiled.outputs)

    def run(values: Sequence[torch.Tensor]) -> Outputs:
        request.infer([each.contiguous().numpy() for each in values], share_inputs=True)
        # The request writes its next results to the same place.
        return tuple(torch.from_numpy(request.get_output_tensor(at).data.copy()) for at in range(count))

    return run


@cache
def _core() -> Any:  # noqa: ANN401 OpenVINO has no types
    # Its import would tell its maker over the network that it was imported; without this package it cannot.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino  # noqa: PLC0415 an extra

    return openvino.Core()


ENGINE: Final = FileEngine(ONNX, _open_model, package="openvino", preload=_preload)
