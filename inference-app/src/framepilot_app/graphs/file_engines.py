"""The engines beside torch's: one file and one line here for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from framepilot.contract.desired import Engine
from framepilot_app.graphs import aot_engine, onnx_engine, openvino_engine
from framepilot_app.graphs.file_engine import FileEngine
from framepilot_app.graphs.program_form import ProgramForm

FILE_ENGINES: Final[Mapping[Engine, FileEngine]] = {
    Engine.OPENVINO: openvino_engine.ENGINE,
    Engine.ONNX_RUNTIME: onnx_engine.ENGINE,
    Engine.AOT_INDUCTOR: aot_engine.ENGINE,
}

FORMS: Final[frozenset[ProgramForm]] = frozenset(engine.form for engine in FILE_ENGINES.values())
"""What they read."""


def preload() -> None:
    """Import those that are installed."""
    for engine in FILE_ENGINES.values():
        if engine.missing() is None:
            engine.preload()
