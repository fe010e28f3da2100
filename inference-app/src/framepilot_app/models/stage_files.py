"""The ONNX forms of stages, kept in the instance's cache: `<digest of a model>-<digest of the stage>-<number>.onnx`.

The model is one that has the stage's parameters: the file is written from it, and goes when it goes. Any stage of the
same contents finds it, whosesoever it is.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import Final

from framepilot_app.graphs.onnx_form import ONNX
from framepilot_app.graphs.plain_stage import PlainStage
from framepilot_app.graphs.stage import Stage
from framepilot_app.models.contents import Contents
from framepilot_app.models.form_files import not_written, write
from framepilot_app.models.model import Model

WRITER: Final = "framepilot_app.graphs.onnx_stage_writer"


class StageFiles:
    """The files below `folder`. Its methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, stage: Stage, model: Model, contents: Contents, given_up: threading.Event) -> Path:
        """The ONNX form of a stage of a plan, written if it is not there yet.

        Args:
            stage: its values are named by identities, its parameters by digests.
            model: one that has its parameters.
            contents: of that model's parameter file.
            given_up: set when nobody wants it any more.

        Raises:
            EngineError: it has none, it cannot be written, or `given_up` was set.
        """
        digest = hashlib.sha256(repr((stage.inputs, stage.outputs, _names(stage))).encode()).hexdigest()
        known = next(self._folder.glob(f"*-{digest}-{ONNX.number}{ONNX.suffix}"), None)
        if known is not None:
            return known
        target = self._folder / f"{model.sha256}-{digest}-{ONNX.number}{ONNX.suffix}"
        document = target.with_suffix(".json")
        names = {parameter.digest: name for name, parameter in contents.parameters.items()}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            document.write_bytes(PlainStage.of(stage, names).to_json())
            write(ONNX, WRITER, (document, model.weights), target, given_up)
        except OSError as error:
            raise not_written(ONNX, str(error)) from error
        finally:
            with suppress(OSError):
                document.unlink()
        return target

    def prune(self, keep: AbstractSet[str]) -> None:
        """Remove those that were written from models whose digest is not in `keep`."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name.split("-")[0] not in keep:
                with suppress(OSError):
                    path.unlink()


def _names(stage: Stage) -> tuple[str, ...]:
    return tuple(kernel.name for kernel in stage.kernels)
