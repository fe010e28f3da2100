"""`python -m benchmarks` (with tests/ in PYTHONPATH): run all, write docs/benchmarks.md, end with one line of JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import torch

from benchmarks import live_change, throughput
from benchmarks.machine import processor, ran_on
from benchmarks.page import write
from benchmarks.result import told
from framepilot_app.app import cores

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGINNING = """# Benchmarks

Written by `make bench`. Figures are ratios within one run where they can be; single times depend on the
machine and on what else it does."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    out: Path = parser.parse_args().out
    # The process of its own first: the other one makes this process busy.
    results = [*live_change.run(), throughput.run()]
    machine = f"{processor()}, {cores()} cores"
    write(out, BEGINNING, ran_on(machine, f"torch {torch.__version__}", f"OpenCV {cv2.__version__}"), results)
    return told(results)


if __name__ == "__main__":
    sys.exit(main())
