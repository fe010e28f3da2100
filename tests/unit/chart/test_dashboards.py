"""The chart's dashboards, as files: generated, of Grafana's schema, whole, and about metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from framepilot.contract import metrics as app_metrics
from framepilot_operator.kubernetes import metrics as operator_metrics
from support.dashboards import FILES, VARIABLE, Asked, asked, panels, read

ROOT = Path(__file__).parents[3]
SCHEMA = read(Path(__file__).with_name("dashboard.schema.json"))
GRAFANAS_OWN = {"__rate_interval", "__all"}

each_dashboard = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def generate(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "charts.dashboards", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_they_agree_with_their_description() -> None:
    done = generate("--check")
    assert done.returncode == 0, done.stderr


def test_what_does_not_agree_is_found_and_written_anew(tmp_path: Path) -> None:
    assert generate(str(tmp_path)).returncode == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in FILES
    }
    (tmp_path / FILES[0].name).write_text("{}")
    (tmp_path / "old.json").write_text("{}")
    done = generate(str(tmp_path), "--check")
    assert done.returncode == 1
    assert FILES[0].name in done.stderr
    assert "old.json" in done.stderr
    assert generate(str(tmp_path)).returncode == 0
    assert generate(str(tmp_path), "--check").returncode == 0


def test_there_is_one_for_the_fleet_a_service_a_device_and_rollouts() -> None:
    assert [path.stem for path in FILES] == [
        f"framepilot-{each}" for each in ("device", "fleet", "rollouts", "service")
    ]


def test_the_schema_is_one_and_finds_what_is_wrong() -> None:
    Draft7Validator.check_schema(SCHEMA)
    dashboard = read(FILES[0])
    panels(dashboard)[0]["targets"][0]["expresion"] = "up"
    assert not Draft7Validator(SCHEMA).is_valid(dashboard)


@each_dashboard
def test_a_dashboard_is_of_the_schema(path: Path) -> None:
    Draft7Validator(SCHEMA).validate(read(path))


@each_dashboard
def test_a_dashboard_is_called_by_its_uid_and_links_lead_to_dashboards(path: Path) -> None:
    dashboard = read(path)
    assert dashboard["uid"] == path.stem
    assert {link["url"] for link in dashboard["links"]} == {f"/d/{each.stem}" for each in FILES}


@each_dashboard
def test_panels_have_ids_of_their_own_and_do_not_overlap(path: Path) -> None:
    everything = read(path)["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    for panel in everything:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations(everything, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


@each_dashboard
def test_lines_of_a_panel_can_be_told_apart(path: Path) -> None:
    for panel in panels(read(path)):
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert len(set(legends)) == len(legends), panel["title"]
        assert panel["type"] == "stat" or all(legends), panel["title"]


@each_dashboard
def test_variables_that_are_used_can_be_chosen_and_each_one_is_used(path: Path) -> None:
    dashboard = read(path)
    offered = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = {
        name for found in VARIABLE.findall(json.dumps([dashboard["panels"], dashboard["templating"]])) for name in found
    }
    assert used - {""} - GRAFANAS_OWN == offered


@pytest.mark.parametrize("query", asked(), ids=lambda query: f"{query.dashboard}: {query.panel}")
def test_a_query_is_about_metrics_that_there_are(query: Asked) -> None:
    known = [*names(app_metrics), *names(operator_metrics), "process_resident_memory_bytes", "ALERTS"]
    there = {f"{name}{suffix}" for name in known for suffix in ("", "_bucket", "_sum", "_count")}
    named = set(re.findall(r"\b(?:framepilot_|process_)\w+|ALERTS\b", query.expression))
    assert named
    assert named <= there


def names(module: Any) -> list[str]:
    return [metric.name for metric in module.METRICS]


def test_a_config_map_has_room_for_each() -> None:
    assert max(path.stat().st_size for path in FILES) < 512 * 1024
