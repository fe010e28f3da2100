"""A program as a shared library. `python -m framepilot_app.graphs.aot_writer` writes the file.

Torch traces the program's own meaning (`aten.run`) and compiles that with AOTInductor, for batches of any size and as
many threads as torch has here. It is a process of its own, at the lowest priority: it takes a core for half a minute
and more, and with the C++ compiler at most 1.7 GB.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.export import Dim

from framepilot_app.graphs import aten
from framepilot_app.graphs.engine import EngineError, first_line
from framepilot_app.graphs.program import Program, ProgramError
from framepilot_app.graphs.program_form import PARTIAL, UNFIT

_LARGEST_BATCH: Final = 256
_TRACED_BATCH: Final = 4
_OPTIONS: Final = {
    # Processes that compile beside this one would take its memory once more.
    "compile_threads": 1,
    # Packing parameters beforehand was measured: large batches of one model gain a tenth, single pictures of three lose
    # a tenth to two fifths.
    "freezing": False,
}


class _Traceable(torch.nn.Module):
    """A program as a module of torch.

    Its parameters go by their position: a program may call them anything, and here their names go into C++.
    """

    def __init__(self, program: Program, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self._program = program
        for position, name in enumerate(program.parameters):
            self.register_buffer(f"stored{position}", weights[name])

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the program."""
        return aten.run(self._program, dict(zip(self._program.parameters, self.buffers(), strict=True)), batch)


def compiled(program: Program, weights: Mapping[str, torch.Tensor]) -> Path:
    """The library, in the folder that Inductor takes for its own.

    Raises:
        EngineError: torch cannot trace or compile the program, or the library would need an operator of Python's torch.
    """
    image = program.input
    batch = torch.zeros(_TRACED_BATCH, image.channels, image.height, image.width)
    batch = batch.contiguous(memory_format=torch.channels_last)
    sizes = ({0: Dim("batch", min=1, max=_LARGEST_BATCH)},)
    try:
        with torch.no_grad():
            exported = torch.export.export(_Traceable(program, weights), (batch,), dynamic_shapes=sizes, strict=False)
            library = Path(str(torch._inductor.aot_compile(exported.module(), (batch,), options=_OPTIONS)))  # noqa: SLF001
    except Exception as error:  # it raises what it likes
        raise EngineError(f"AOTInductor cannot compile it: {_said(error)}") from error
    # What has no C function of its own is called by way of a list beside the library, and only torch's bindings can.
    if library.with_suffix(".json").exists():
        raise EngineError("AOTInductor cannot compile it: it has an operator without a C interface")
    return library


def _said(error: Exception) -> str:
    """What the C++ compiler found, or the first line of anything else."""
    return next((line for line in str(error).splitlines() if " error: " in line), first_line(error))


def main(program_file: Path, weights_file: Path, target: Path) -> int:
    """Write the library, by rename: a half one is never seen."""
    scratch = target.with_suffix(PARTIAL)
    shutil.rmtree(scratch, ignore_errors=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(scratch)
    try:
        compiled(Program.parse(program_file.read_bytes()), load_file(weights_file)).replace(target)
    except (EngineError, ProgramError, SafetensorError) as error:
        sys.stdout.write(str(error))
        return UNFIT
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
