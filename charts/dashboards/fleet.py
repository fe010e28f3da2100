"""The fleet: all services, their devices and the operator."""

from __future__ import annotations

from typing import Final

from charts.dashboards.expressions import NAMESPACE, attainment, largest, none_is_zero, quantile, rate, selected, total
from charts.dashboards.grafana import Dashboard, Row
from charts.dashboards.panels import (
    ATTAINMENT_TEXT,
    DELIVERED_TEXT,
    INGESTED_TEXT,
    LATENCY_TEXT,
    LINKS,
    NAMESPACES,
    dropped,
    lines,
    number,
    waiting,
)

from framepilot.contract import metrics as app
from framepilot_operator.kubernetes import metrics as operator

PAGE: Final = Dashboard(
    uid=LINKS["Fleet"],
    title="Framepilot / Fleet",
    description="All services, their devices and the operator.",
    variables=(NAMESPACES,),
    links=LINKS,
    rows=(
        Row(
            "Now",
            (
                number(
                    "Services",
                    "Services that an instance runs.",
                    "none",
                    f"count(count by (service) ({selected(app.OBJECTIVE.name, NAMESPACE)}))",
                ),
                number(
                    "Instances",
                    "Instances that are scraped.",
                    "none",
                    f"count({selected(app.DEVICE_BUSY.name, NAMESPACE)})",
                ),
                number("Frames delivered", DELIVERED_TEXT, "cps", rate(app.FRAMES_DELIVERED.name, NAMESPACE)),
                number("Within the objective", ATTAINMENT_TEXT, "percentunit", attainment(NAMESPACE)),
                number(
                    "Streams without frames",
                    "Streams that are stalled or have failed.",
                    "none",
                    total(app.STREAM_STATE.name, f'{NAMESPACE},state=~"stalled|failed"'),
                ),
                number(
                    "Alerts",
                    "Framepilot's alerts that fire.",
                    "none",
                    none_is_zero('count(ALERTS{alertname=~"Framepilot.*",alertstate="firing"})'),
                ),
            ),
        ),
        Row(
            "Services",
            (
                lines(
                    "Frames ingested",
                    INGESTED_TEXT,
                    "cps",
                    (rate(app.FRAMES_INGESTED.name, NAMESPACE, "service"), "{{service}}"),
                ),
                lines(
                    "Frames delivered",
                    DELIVERED_TEXT,
                    "cps",
                    (rate(app.FRAMES_DELIVERED.name, NAMESPACE, "service"), "{{service}}"),
                ),
                lines(
                    "Within the objective",
                    ATTAINMENT_TEXT,
                    "percentunit",
                    (attainment(NAMESPACE, "service"), "{{service}}"),
                ),
                lines(
                    "Latency, p99",
                    LATENCY_TEXT,
                    "s",
                    (quantile(0.99, app.FRAME_LATENCY.name, NAMESPACE, "service"), "{{service}}"),
                    (largest(app.OBJECTIVE.name, NAMESPACE, "service"), "{{service}} objective"),
                ),
                dropped(NAMESPACE),
                lines(
                    "Events lost",
                    "Events that sinks dropped, in a second.",
                    "cps",
                    (rate(app.SINK_DROPPED.name, NAMESPACE, "service"), "{{service}}"),
                ),
            ),
        ),
        Row(
            "Devices",
            (
                lines(
                    "Busy",
                    "The share of time in which the device ran batches.",
                    "percentunit",
                    (rate(app.DEVICE_BUSY.name, NAMESPACE, "instance"), "{{instance}}"),
                    width=12,
                ),
                waiting(NAMESPACE, "instance", "{{instance}}", width=12),
            ),
        ),
        Row(
            "Operator",
            (
                lines(
                    "Services by readiness",
                    "Declared services by their condition Ready.",
                    "none",
                    (f"max by (ready) ({operator.SERVICES.name})", "{{ready}}"),
                ),
                lines(
                    "Instances",
                    "Instances by whether their container runs.",
                    "none",
                    (f"max by (running) ({operator.INSTANCES.name})", "running: {{running}}"),
                ),
                lines(
                    "Leader",
                    "1 for the operator that works.",
                    "none",
                    (f"max by (instance) ({operator.IS_LEADER.name})", "{{instance}}"),
                ),
                lines(
                    "Who says how devices are used",
                    "1 while all instances do, and while Prometheus does, where the operator asks one.",
                    "none",
                    (f"min by (source) ({operator.DEVICE_SOURCE_UP.name})", "{{source}}"),
                ),
                lines(
                    "Duration of a pass, p99",
                    "From the look at everything to the last change and report.",
                    "s",
                    (quantile(0.99, operator.DURATION.name, ""), "p99"),
                ),
                lines(
                    "Changes",
                    "Changes made, in a second, by kind.",
                    "cps",
                    (rate(operator.CHANGES.name, "", app.KIND), "{{kind}}"),
                ),
                lines(
                    "Failures",
                    "Passes and changes that failed, in a second.",
                    "cps",
                    (rate(operator.FAILURES.name, ""), "passes"),
                    (none_is_zero(rate(operator.CHANGE_FAILURES.name, "")), "changes"),
                ),
                lines(
                    "Requests to the API server",
                    "In a second, without watches.",
                    "reqps",
                    (rate(operator.API_REQUESTS.name, "", operator.VERB), "{{verb}}"),
                ),
                lines(
                    "Memory",
                    "Resident memory of the operator.",
                    "bytes",
                    (f"process_resident_memory_bytes and on (instance) {operator.IS_LEADER.name}", "{{instance}}"),
                ),
                lines(
                    "Age of the latest pass",
                    "How long ago everything was looked at.",
                    "s",
                    (f"time() - max({operator.LATEST.name})", "age"),
                ),
            ),
        ),
    ),
)
