"""`python -m support.partial_app PART …`: the inference app without a part of sharing, to see what that is worth.

The rest of the command line is that of `framepilot-app`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Sequence

import torch

from framepilot_app import app
from framepilot_app.cli import main
from framepilot_app.graphs.torch_stage import TorchStage
from framepilot_app.models.parameters import UnsharedStore
from framepilot_app.modules import joint
from framepilot_app.modules.merger import NoSharing


def _without_store() -> None:
    app.ParameterStore = UnsharedStore


def _without_stages() -> None:
    app.Merger = lambda *_: NoSharing()


def _without_scripts() -> None:
    def write_nothing(_self: TorchStage, *_inputs: torch.Tensor) -> Generator[None, None, None]:
        yield from ()

    TorchStage.write_script = write_nothing


def _without_kept() -> None:
    keep = joint._Batch._keep

    def forget(self: joint._Batch, run: joint._Run, given: Sequence[torch.Tensor]) -> None:
        keep(self, run, given)
        for row in run.fresh:
            row.kept.clear()

    joint._Batch._keep = forget


def _without_buffers() -> None:
    """What was freed goes back to the system at once, as the C library does by itself."""
    if os.environ.get("GLIBC_TUNABLES"):
        # It is read when a process starts.
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "GLIBC_TUNABLES": ""})


PARTS: dict[str, Callable[[], None]] = {
    "object store": _without_store,
    "shared stages": _without_stages,
    "compilation": _without_scripts,
    "results kept": _without_kept,
    "buffers kept": _without_buffers,
}

if __name__ == "__main__":
    PARTS[sys.argv.pop(1)]()
    main()
