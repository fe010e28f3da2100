"""The engines beside torch's that can run a stage of a plan, from its ONNX form."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Final

import torch

from framepilot.contract.desired import Engine
from framepilot_app.graphs import onnx_engine, openvino_engine
from framepilot_app.graphs.engine import EngineError, Outputs, OwnCopy, Run, first_line

STAGE_ENGINES: Final[Mapping[Engine, Callable[[Path, int], Run]]] = {
    Engine.OPENVINO: openvino_engine.open_file,
    Engine.ONNX_RUNTIME: onnx_engine.open_file,
}
"""How each opens a file (on so many threads)."""


def open_stage(engine: Engine, file: Path, threads: int) -> WholeStage:
    """Open a stage's ONNX form; whatever the engine raises is a reason not to use it."""
    return WholeStage(file.stat().st_size, STAGE_ENGINES[engine](file, threads))


class WholeStage(OwnCopy):
    """A stage on an engine that runs it as one call, on the CPU."""

    def __init__(self, nbytes: int, run: Run) -> None:
        super().__init__(nbytes)
        self._run = run

    def __call__(self, *inputs: torch.Tensor) -> Outputs:
        """Run it once; images come channels last, as torch's stages take them.

        Raises:
            EngineError: the engine fails on the inputs.
        """
        try:
            outputs = self._run(inputs)
        except Exception as error:  # engines raise what they like
            raise EngineError(f"a stage cannot be run: {first_line(error)}") from error
        return tuple(map(_laid_out, outputs))

    def steps(self, *inputs: torch.Tensor) -> Generator[None, None, Outputs]:
        """The same; all of it is one step."""
        yield
        return self(*inputs)


def _laid_out(output: torch.Tensor) -> torch.Tensor:
    return output.contiguous(memory_format=torch.channels_last) if output.dim() == 4 else output
