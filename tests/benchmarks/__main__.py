"""`python -m benchmarks` (with tests/ in PYTHONPATH): run all, write docs/benchmarks.md, end with one line of JSON."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import cv2
import torch

from benchmarks import live_change, throughput
from benchmarks.machine import processor
from framepilot_app.app import cores

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    out: Path = parser.parse_args().out
    # The process of its own first: the other one makes this process busy.
    results = [*live_change.run(), throughput.run()]
    page = "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `make bench`. Figures are ratios within one run where they can be; single times depend on the",
            "machine and on what else it does.",
            "",
            _machine(),
            "",
            *(result.markdown() for result in results),
        ]
    )
    out.write_text(page, encoding="utf-8")
    print(page)
    figures = {name: round(value, 4) for result in results for name, value in result.figures.items()}
    print(json.dumps(figures))
    hard = [gate for result in results for gate in result.gates if not gate.what.startswith("goal")]
    return 0 if all(gate.passed for gate in hard) else 1


def _machine() -> str:
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, OpenCV {cv2.__version__}"
    return f"Machine: {processor()}, {cores()} cores; {versions}; {datetime.now(UTC):%Y-%m-%d}."


if __name__ == "__main__":
    sys.exit(main())
