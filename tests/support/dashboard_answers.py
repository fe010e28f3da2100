"""What a Prometheus answers to the queries of a dashboard, over a time that is past."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from support.dashboard_picture import Series
from support.dashboards import OFFERED, chosen, panels
from support.prometheus import PrometheusApi

RATE_INTERVAL = "10s"
"""What Grafana makes of `$__rate_interval` depends on the scrape interval; this is for one of a second."""


def choices(prometheus: PrometheusApi, dashboard: Mapping[str, Any]) -> dict[str, str]:
    """A value for each variable: all, where that can be chosen, and else the first that is offered."""
    values = {"__rate_interval": RATE_INTERVAL}
    for variable in dashboard["templating"]["list"]:
        if not (offered := OFFERED.fullmatch(variable.get("definition", ""))):
            continue
        if variable["includeAll"]:
            values[variable["name"]] = variable["allValue"]
        else:
            selector = chosen(offered[1], values)
            values[variable["name"]] = prometheus.get(f"label/{offered[2]}/values", **{"match[]": selector})[0]
    return values


def answered(
    prometheus: PrometheusApi,
    dashboard: Mapping[str, Any],
    values: Mapping[str, str],
    start_s: float,
    seconds: np.ndarray,
) -> dict[int, list[Series]]:
    """The series with data of each panel, by its id, at these moments (evenly apart) after a Unix time."""
    return {
        panel["id"]: [
            series
            for target in panel["targets"]
            for series in _series(prometheus, chosen(target["expr"], values), target["legendFormat"], start_s, seconds)
            if series.seen
        ]
        for panel in panels(dashboard)
    }


def _series(
    prometheus: PrometheusApi, expression: str, legend: str, start_s: float, seconds: np.ndarray
) -> list[Series]:
    step_s = seconds[1] - seconds[0]
    end_s = start_s + seconds[-1]
    answer = prometheus.get("query_range", query=expression, start=str(start_s), end=str(end_s), step=str(step_s))
    return [
        Series(_named(legend, each["metric"]), _on_grid(each["values"], start_s, step_s, len(seconds)))
        for each in answer["result"]
    ]


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def _on_grid(samples: list[tuple[float, str]], start_s: float, step_s: float, length: int) -> np.ndarray:
    values = np.full(length, np.nan)
    for moment_s, text in samples:
        value = float(text)
        values[round((moment_s - start_s) / step_s)] = value if np.isfinite(value) else np.nan
    return values
