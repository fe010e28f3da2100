"""A model in a store: the folder `<store>/<model>/<version>/`, of which nothing can execute.

The folder holds four files. `model.yaml` says what the model is and lists the digest of the other three, so its own
sha256 is the digest of the whole model: `program.json` (the graph as data), `weights.safetensors` (its parameters) and
`example.safetensors` (an input with the outputs that it must give).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from safetensors import SafetensorError

from framepilot_app.graphs.program import Program, ProgramError
from framepilot_app.models.spec import ModelSpec

if TYPE_CHECKING:
    import torch

MODEL_FILE: Final = "model.yaml"
PROGRAM_FILE: Final = "program.json"
WEIGHTS_FILE: Final = "weights.safetensors"
EXAMPLE_FILE: Final = "example.safetensors"
LISTED_FILES: Final = (PROGRAM_FILE, WEIGHTS_FILE, EXAMPLE_FILE)
ALL_FILES: Final = (MODEL_FILE, *LISTED_FILES)


class ModelError(Exception):
    """A model that cannot be used: which one, what happened, what to do."""

    def __init__(self, which: str | Path, what: str) -> None:
        self.which = str(which)
        self.what = what
        super().__init__(f"model {which}: {what}")


class UnavailableError(ModelError):
    """A model that cannot be had now and may be later: its store is away, does not have it yet, or does not give it.

    It says nothing against the model, so whoever wants it tries again.
    """


@dataclass(frozen=True, slots=True)
class Example:
    """An input, N x 3 x height x width, float32, and the outputs that the model must give for it."""

    input: torch.Tensor
    expected: tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A verified folder. `sha256` is that of its `model.yaml`, and so the digest of the model."""

    folder: Path
    spec: ModelSpec
    sha256: str

    @property
    def weights(self) -> Path:
        """The safetensors file of the parameters, to be memory-mapped."""
        return self.folder / WEIGHTS_FILE

    def program(self) -> Program:
        """The graph, read anew.

        Raises:
            ModelError: the file went away, or was changed since it was verified.
        """
        try:
            return Program.parse((self.folder / PROGRAM_FILE).read_bytes())
        except (OSError, ProgramError) as error:
            raise ModelError(self.folder, f"{PROGRAM_FILE} cannot be read any more: {error}; fetch it again") from error

    def example(self) -> Example:
        """The example, read anew.

        Raises:
            ModelError: the file went away, or was changed since it was verified.
        """
        from safetensors.torch import load_file  # noqa: PLC0415 - imports torch, which takes seconds

        try:
            tensors = load_file(self.folder / EXAMPLE_FILE)
            expected = tuple(tensors[f"output.{index}"] for index in range(len(tensors) - 1))
            return Example(tensors["input"], expected)
        except (OSError, KeyError, SafetensorError) as error:
            raise ModelError(self.folder, f"{EXAMPLE_FILE} cannot be read any more: {error}; fetch it again") from error
