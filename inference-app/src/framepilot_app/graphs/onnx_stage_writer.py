"""A stage as an ONNX model. `python -m framepilot_app.graphs.onnx_stage_writer` writes the file, as `onnx_writer` does
that of a program."""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.numpy import load_file

from framepilot_app.graphs.onnx_writer import stage_to_onnx, write
from framepilot_app.graphs.plain_stage import PlainStage


def main(stage_file: Path, weights_file: Path, target: Path) -> int:
    """Write the model of a `PlainStage`."""
    return write(lambda: stage_to_onnx(PlainStage.parse(stage_file.read_bytes()), load_file(weights_file)), target)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
