"""The ONNX form of a program. Writing it is Python for a second, most of it imports."""

from __future__ import annotations

from typing import Final

from framepilot_app.graphs.file_engine import missing_package
from framepilot_app.graphs.program_form import ProgramForm


def _missing() -> str | None:
    return missing_package("onnx", "onnx")


ONNX: Final = ProgramForm(
    name="ONNX",
    suffix=".onnx",
    number=1,
    writer="framepilot_app.graphs.onnx_writer",
    limit_s=120.0,
    missing=_missing,
)
