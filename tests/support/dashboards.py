"""The chart's dashboards as Grafana uses them: their panels, and the queries with what is chosen put in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.operator_release import CHART

FILES = sorted((CHART / "dashboards").glob("*.json"))
PICTURES = Path(__file__).parents[2] / "docs" / "images"
OFFERED = re.compile(r"label_values\((.+), (\w+)\)")
"""What a variable offers: of which series it takes which label."""
VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")


@dataclass(frozen=True)
class Asked:
    """One query of one panel, and what its series are called."""

    dashboard: str
    panel: str
    expression: str
    legend: str

    @property
    def legend_labels(self) -> set[str]:
        return set(re.findall(r"\{\{(\w+)\}\}", self.legend))


def picture_of(path: Path) -> Path:
    """Where the docs have the picture of a dashboard."""
    return PICTURES / f"{path.stem.replace('framepilot', 'dashboard')}.png"


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that show something, without the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def rows(dashboard: Mapping[str, Any]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The headings, each with the panels below it."""
    found: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            found.append((panel, []))
        else:
            found[-1][1].append(panel)
    return found


def asked() -> list[Asked]:
    """Every query of every panel."""
    return [
        Asked(path.stem, panel["title"], target["expr"], target["legendFormat"])
        for path in FILES
        for panel in panels(read(path))
        for target in panel["targets"]
    ]


def variables() -> list[tuple[str, str, str]]:
    """Every variable that is asked for: the dashboard, and of which series it offers which label."""
    return [
        (path.stem, found[1], found[2])
        for path in FILES
        for variable in read(path)["templating"]["list"]
        if (found := OFFERED.fullmatch(variable.get("definition", "")))
    ]


def chosen(text: str, values: Mapping[str, str]) -> str:
    """A text in which variables have these values.

    Raises:
        KeyError: there is none for one of them.
    """
    return VARIABLE.sub(lambda found: values[found[1] or found[2]], text)
