"""Writing the four files of a model's folder; `verify` is what reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from framepilot_app.graphs.program import Program
from framepilot_app.models.model import (
    EXAMPLE_FILE,
    LISTED_FILES,
    MODEL_FILE,
    PROGRAM_FILE,
    WEIGHTS_FILE,
    Example,
)
from framepilot_app.models.spec import ModelSpec, PackSpec

if TYPE_CHECKING:
    import torch


def write_folder(
    folder: Path, spec: PackSpec, program: Program, weights: Mapping[str, torch.Tensor], example: Example
) -> None:
    """Make `folder` and write all of it. Nothing is checked, so that tests can write bad ones.

    Raises:
        OSError: it exists, or cannot be written.
    """
    from safetensors.torch import save  # noqa: PLC0415 - imports torch, which takes seconds

    folder.mkdir(parents=True)
    (folder / PROGRAM_FILE).write_bytes(program.to_json())
    # Not save_file: it makes files that only their owner can read, and a store is read by other users.
    (folder / WEIGHTS_FILE).write_bytes(save(dict(weights)))
    outputs = {f"output.{index}": output.contiguous() for index, output in enumerate(example.expected)}
    (folder / EXAMPLE_FILE).write_bytes(save({"input": example.input, **outputs}))
    write_model_file(folder, spec)


def write_model_file(folder: Path, spec: PackSpec) -> None:
    """Write `model.yaml` with the digests of the other files as they are now.

    Raises:
        OSError: one of them cannot be read, or it cannot be written.
    """
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in LISTED_FILES}
    whole = ModelSpec(**{name: getattr(spec, name) for name in PackSpec.model_fields}, files=digests)
    text = StringIO()
    yaml = YAML()
    yaml.width = 100
    yaml.dump(whole.model_dump(mode="json", by_alias=True), text)
    (folder / MODEL_FILE).write_text(text.getvalue(), encoding="utf-8")
