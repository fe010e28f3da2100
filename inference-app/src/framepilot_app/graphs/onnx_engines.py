"""The engines that take the ONNX form of a program; each is an extra that may not be installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framepilot.contract.desired import Engine
from framepilot_app.graphs import onnx_engine, openvino_engine
from framepilot_app.graphs.engine import Compiled
from framepilot_app.graphs.program import ImageInput

_WRITER: Final = "onnx"
"""What writes the ONNX form, in a process of its own."""


@dataclass(frozen=True, slots=True)
class OnnxEngine:
    """One engine: its package, its import, and how it opens a model (file, input, threads)."""

    package: str
    preload: Callable[[], None]
    open_model: Callable[[Path, ImageInput, int], Compiled]

    def missing(self) -> str | None:
        """Why it cannot be used here at all."""
        for package in (self.package, _WRITER):
            if importlib.util.find_spec(package) is None:
                return (
                    f"not installed: there is no package '{package}'; install framepilot-inference-app[{self.package}]"
                )
        return None


ONNX_ENGINES: Final[Mapping[Engine, OnnxEngine]] = {
    Engine.OPENVINO: OnnxEngine(openvino_engine.PACKAGE, openvino_engine.preload, openvino_engine.open_model),
    Engine.ONNX_RUNTIME: OnnxEngine(onnx_engine.PACKAGE, onnx_engine.preload, onnx_engine.open_model),
}


def preload() -> None:
    """Import those that are installed."""
    for engine in ONNX_ENGINES.values():
        if engine.missing() is None:
            engine.preload()
