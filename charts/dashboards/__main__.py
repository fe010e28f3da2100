"""Writes the chart's dashboards from their descriptions, a module for each; `--check` says whether they still agree."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from charts.dashboards import device, fleet, rollouts, service
from charts.dashboards.grafana import dashboard

DASHBOARDS: Final = (fleet.PAGE, service.PAGE, device.PAGE, rollouts.PAGE)


def main() -> int:
    """Write or check every dashboard; 1 if a file is not what it should be."""
    chart = Path(__file__).parents[1] / "framepilot"
    parser = argparse.ArgumentParser(prog="python -m charts.dashboards", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=chart / "dashboards", help="default: the chart's")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    arguments = parser.parse_args()
    wanted = {
        arguments.folder / f"{each.uid}.json": json.dumps(dashboard(each), indent=1, ensure_ascii=False) + "\n"
        for each in DASHBOARDS
    }
    unwanted = [path for path in sorted(arguments.folder.glob("*")) if path not in wanted]
    if arguments.check:
        drifted = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text] + unwanted
        for path in drifted:
            sys.stderr.write(f"{path} does not agree with charts/dashboards; run `make dashboards`\n")
        return 1 if drifted else 0
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text)
    for path in unwanted:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
