"""`python -m benchmarks.streams` (with tests/ in PYTHONPATH): overload, many cameras, faults, and a soak.

Writes the figures at the end of docs/overload.md, and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import torch

from benchmarks import faults, many_streams, overload, soak
from benchmarks.machine import processor, ran_on
from benchmarks.page import up_to, write
from benchmarks.result import told
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
    machine = ran_on(f"{processor()}, {cores()} cores", f"torch {torch.__version__}", f"OpenCV {cv2.__version__}")
    write(given.out, up_to(MARKER, given.out), machine, results)
    return told(results)


if __name__ == "__main__":
    sys.exit(main())
