"""`python -m benchmarks.whitebox` (with tests/ in PYTHONPATH): what it is worth to share what models have in common.

A hundred pipelines on one backbone, as Pretzel's evaluation has them (Lee et al., OSDI 2018, section 5), and models
that have nothing in common. Rewrites what follows the marker in docs/white-box.md, and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks import merging, whitebox_depths, whitebox_engines, whitebox_parts, whitebox_unrelated
from benchmarks.machine import processor, ran_on
from benchmarks.page import up_to, write
from benchmarks.result import told
from benchmarks.whitebox_depths import Scale
from framepilot_app.app import cores

PAGE = Path(__file__).parents[2] / "docs" / "white-box.md"
MARKER = "<!-- What follows is written by `make bench-whitebox`. -->"
WHOLE = Scale(pipelines=100, depths=(25, 50, 75, 100), rounds=2, seconds=3.0, processes=16)
QUICK = Scale(pipelines=12, depths=(50, 100), rounds=1, seconds=2.0, processes=2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page whose figures are written")
    parser.add_argument("--quick", action="store_true", help="few pipelines and short windows, to see that it runs")
    parser.add_argument("--depths", type=int, nargs="+", help="shared parts of the backbone, percent; ascending to 100")
    parser.add_argument("--note", default="", help="what else is to be said of the run, such as what else was running")
    given = parser.parse_args()
    scale = QUICK if given.quick else WHOLE
    if given.depths:
        scale = replace(scale, depths=tuple(given.depths))
    with TemporaryDirectory(prefix="framepilot-bench-") as name:
        folder = Path(name)
        results = [
            *whitebox_depths.run(folder / "depths", scale),
            whitebox_parts.run(folder / "parts", scale.pipelines // 5, scale.rounds, scale.seconds),
            whitebox_engines.run(folder / "engines", max(2, scale.pipelines // 10)),
            *whitebox_unrelated.run(folder / "unrelated", 4 * scale.rounds, 2 * scale.rounds, scale.seconds),
        ]
    torch.set_num_threads(1)
    results.append(merging.merging())
    command = "python -m benchmarks.whitebox"
    command += " --quick" if given.quick else ""
    command += f" --depths {' '.join(map(str, given.depths))}" if given.depths else ""
    cpu = f"{processor()}, {cores()} cores"
    machine = ran_on(cpu, f"torch {torch.__version__}", command=command, note=given.note)
    write(given.out, up_to(MARKER, given.out), machine, results)
    return told(results)


if __name__ == "__main__":
    sys.exit(main())
