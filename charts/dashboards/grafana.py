"""From a short description of a dashboard to the JSON that Grafana loads: every panel of a kind is drawn alike.

Panels are laid out from left to right in the order of their description, so none overlaps another one, and numbered in
it, so that a change of one leaves the others as they are. Of the schema only what is needed is written; Grafana fills
in the rest. https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pydantic import JsonValue

SCHEMA_VERSION: Final = 39
"""Of Grafana 10.4; later versions migrate it."""

GRID_WIDTH: Final = 24
DATASOURCE: Final[JsonValue] = {"type": "prometheus", "uid": "${datasource}"}
ALL: Final = ".*"
"""What a variable stands for where nothing is chosen; matches series without the label, too."""

JsonObject = dict[str, JsonValue]


class Kind(StrEnum):
    """How a panel is drawn, as Grafana names it."""

    LINES = "timeseries"
    NUMBER = "stat"
    STATES = "state-timeline"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and what its series are called: `{{label}}` stands for a label's value."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `unit` is one of Grafana's; `texts` says what values of a state are called, in the order 0, 1, 2 …"""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = Kind.LINES
    width: int = 8
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """What a person chooses on top of a dashboard: a value of `label` among the series that `selector` selects."""

    name: str
    label: str
    selector: str
    title: str
    many: bool = True
    """Whether several may be chosen, or all."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; `uid` is its address and never changes."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    links: Mapping[str, str] = field(default_factory=dict)
    """The uids of other dashboards by what their link is called."""


def dashboard(described: Dashboard) -> JsonObject:
    """The JSON of a dashboard."""
    return {
        "uid": described.uid,
        "title": described.title,
        "description": described.description,
        "tags": ["framepilot"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "timezone": "browser",
        "time": {"from": "now-30m", "to": "now"},
        "links": [_link(title, uid) for title, uid in described.links.items()],
        "annotations": {"list": []},
        "templating": {"list": [_datasource(), *map(_variable, described.variables)]},
        "panels": [*_panels(described.rows)],
    }


def _panels(rows: Sequence[Row]) -> Iterator[JsonValue]:
    number, top = 0, 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": GRID_WIDTH, "h": 1},
            "panels": [],
        }
        top += 1
        left, height = 0, 0
        for panel in row.panels:
            if left + panel.width > GRID_WIDTH:
                left, top, height = 0, top + height, 0
            number += 1
            tall = 4 if panel.kind is Kind.NUMBER else 8
            yield _panel(panel) | {"id": number, "gridPos": {"x": left, "y": top, "w": panel.width, "h": tall}}
            left, height = left + panel.width, max(height, tall)
        top += height


def _panel(panel: Panel) -> JsonObject:
    defaults: JsonObject = {"unit": panel.unit, "custom": _drawn(panel.kind)}
    if panel.kind is Kind.LINES:
        defaults["min"] = 0
    if panel.unit == "percentunit":
        defaults["max"] = 1
    if panel.texts:
        defaults["mappings"] = [_mapping(panel.texts)]
    return {
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "targets": [_target(chr(ord("A") + number), each, panel.kind) for number, each in enumerate(panel.queries)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel.kind),
    }


def _target(reference: str, query: Query, kind: Kind) -> JsonObject:
    return {
        "refId": reference,
        "datasource": DATASOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
        "editorMode": "code",
        "instant": kind is Kind.NUMBER,
        "range": kind is not Kind.NUMBER,
    }


def _drawn(kind: Kind) -> JsonObject:
    match kind:
        case Kind.LINES:
            return {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
        case Kind.STATES:
            return {"lineWidth": 0, "fillOpacity": 70}
        case Kind.NUMBER:
            return {}


def _options(kind: Kind) -> JsonObject:
    match kind:
        case Kind.LINES:
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case Kind.STATES:
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "single", "sort": "none"},
                "mergeValues": True,
                "showValue": "auto",
                "rowHeight": 0.9,
            }
        case Kind.NUMBER:
            return {
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "colorMode": "value",
                "graphMode": "none",
                "textMode": "auto",
            }


def _mapping(texts: Sequence[str]) -> JsonObject:
    return {
        "type": "value",
        "options": {str(number): {"text": text, "index": number} for number, text in enumerate(texts)},
    }


def _link(title: str, uid: str) -> JsonValue:
    return {
        "type": "link",
        "title": title,
        "url": f"/d/{uid}",
        "icon": "dashboard",
        "keepTime": True,
        "includeVars": True,
        "targetBlank": False,
        "asDropdown": False,
        "tags": [],
        "tooltip": "",
    }


def _datasource() -> JsonObject:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "options": [],
        "current": {},
    }


def _variable(variable: Variable) -> JsonObject:
    query = f"label_values({variable.selector}, {variable.label})"
    chosen: JsonObject = {"selected": True, "text": "All", "value": "$__all"} if variable.many else {}
    made: JsonObject = {
        "type": "query",
        "name": variable.name,
        "label": variable.title,
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": variable.name},
        "hide": 0,
        "includeAll": variable.many,
        "multi": variable.many,
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
        "options": [],
        "current": chosen,
    }
    return made | {"allValue": ALL} if variable.many else made
