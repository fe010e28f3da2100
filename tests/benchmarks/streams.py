"""`python -m benchmarks.streams` (with tests/ in PYTHONPATH): overload, many cameras, faults, and a soak.

Writes the figures at the end of docs/overload.md, and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import cv2
import torch

from benchmarks import faults, many_streams, overload, soak
from benchmarks.machine import processor
from framepilot_app.app import cores

PAGE = Path(__file__).parents[2] / "docs" / "overload.md"
MARKER = "<!-- What follows is written by `make bench-streams`. -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page whose figures are written")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--counts", type=int, nargs="+", default=many_streams.COUNTS, help="numbers of cameras")
    parser.add_argument(
        "--soak-frames",
        type=int,
        default=20_000,
        help=f"frames of the soak; an hour of three cameras has {soak.HOUR_FRAMES}",
    )
    given = parser.parse_args()
    results = [
        overload.run(given.seconds),
        many_streams.run(given.seconds, given.counts),
        faults.run(given.seconds),
        soak.run(given.soak_frames),
    ]
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, OpenCV {cv2.__version__}"
    machine = f"Machine: {processor()}, {cores()} cores; {versions}; {datetime.now(UTC):%Y-%m-%d}."
    text, _, _ = given.out.read_text(encoding="utf-8").partition(MARKER)
    tables = "\n".join(result.markdown() for result in results)
    given.out.write_text(f"{text.rstrip()}\n\n{MARKER}\n\n{machine}\n\n{tables}", encoding="utf-8")
    print(tables)
    print(json.dumps({name: round(value, 4) for result in results for name, value in result.figures.items()}))
    hard = [gate for result in results for gate in result.gates if not gate.what.startswith("goal")]
    return 0 if all(gate.passed for gate in hard) else 1


if __name__ == "__main__":
    sys.exit(main())
