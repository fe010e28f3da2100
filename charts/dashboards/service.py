"""One service: its frames, streams, modules and sinks."""

from __future__ import annotations

from typing import Final

from charts.dashboards.expressions import SERVICE, attainment, largest, mean, numbered, rate, selected, total
from charts.dashboards.grafana import Dashboard, Row
from charts.dashboards.panels import (
    ATTAINMENT_TEXT,
    BATCH_TEXT,
    INGESTED_TEXT,
    LINKS,
    NAMESPACES,
    ONE_SERVICE,
    delivered,
    dropped,
    latency,
    lines,
    states,
    versions,
    waiting,
)

from framepilot.contract import metrics as app
from framepilot.contract.observed import StreamState

STATES: Final = tuple(each.value for each in StreamState)

PAGE: Final = Dashboard(
    uid=LINKS["Service"],
    title="Framepilot / Service",
    description="One service: its frames, streams, modules and sinks.",
    variables=(NAMESPACES, ONE_SERVICE),
    links=LINKS,
    rows=(
        Row(
            "Frames",
            (
                latency(0.5, 0.9, 0.99),
                lines(
                    "Within the objective",
                    ATTAINMENT_TEXT,
                    "percentunit",
                    (attainment(SERVICE, "stream"), "{{stream}}"),
                ),
                dropped(SERVICE),
                lines(
                    "Frames ingested",
                    INGESTED_TEXT,
                    "cps",
                    (rate(app.FRAMES_INGESTED.name, SERVICE, "stream"), "{{stream}}"),
                ),
                delivered(),
                lines(
                    "Frames in flight",
                    "Frames that have not ended yet.",
                    "none",
                    (total(app.FRAMES_IN_FLIGHT.name, SERVICE, "stream"), "{{stream}}"),
                ),
            ),
        ),
        Row(
            "Streams",
            (
                states(
                    "State",
                    "Whether a stream gives frames.",
                    numbered(app.STREAM_STATE.name, SERVICE, STATES, "stream"),
                    "{{stream}}",
                    STATES,
                ),
                lines(
                    "Interruptions",
                    "Openings after the first, and reads that the system did not come back from, in a second.",
                    "cps",
                    (rate(app.STREAM_RECONNECTS.name, SERVICE, "stream"), "{{stream}} opened again"),
                    (rate(app.STREAM_HUNG.name, SERVICE, "stream"), "{{stream}} hung"),
                    width=6,
                ),
                lines(
                    "Decoding",
                    "How much of a processor decodes a stream, for all services that share it together.",
                    "percentunit",
                    (rate(app.STREAM_DECODE.name, SERVICE, "stream"), "{{stream}}"),
                    width=6,
                ),
            ),
        ),
        Row(
            "Modules",
            (
                lines(
                    "Time of a stage",
                    "Mean duration of the stages: for a batch (infer) or an item (pre, queue).",
                    "s",
                    (mean(app.MODULE_STAGE.name, SERVICE, "module, stage"), "{{module}} {{stage}}"),
                ),
                lines(
                    "Items in a batch",
                    BATCH_TEXT,
                    "none",
                    (mean(app.MODULE_BATCH_ITEMS.name, SERVICE, "module"), "{{module}}"),
                    (largest(app.MODULE_BATCH_CAP.name, SERVICE, "module"), "{{module}} at most"),
                ),
                waiting(SERVICE, "module", "{{module}}"),
                lines(
                    "Items",
                    "Items that have run, in a second.",
                    "cps",
                    (rate(app.MODULE_ITEMS.name, SERVICE, "module"), "{{module}}"),
                    width=12,
                ),
                versions(SERVICE),
            ),
        ),
        Row(
            "Sinks",
            (
                lines(
                    "Events",
                    "Events offered to a sink, and those that its receiver took, in a second.",
                    "cps",
                    (rate(app.SINK_OFFERED.name, SERVICE, "sink"), "{{sink}} offered"),
                    (rate(app.SINK_WRITTEN.name, SERVICE, "sink"), "{{sink}} written"),
                ),
                lines(
                    "Events that wait",
                    "Events that wait to be written, and those of them that wait on disk.",
                    "none",
                    (total(app.SINK_WAITING.name, SERVICE, "sink"), "{{sink}}"),
                    (total(app.SINK_SPOOLED.name, SERVICE, "sink"), "{{sink}} on disk"),
                ),
                lines(
                    "Events lost",
                    "Events that were dropped, in a second, by reason.",
                    "cps",
                    (rate(app.SINK_DROPPED.name, SERVICE, "sink, reason"), "{{sink}} {{reason}}"),
                ),
                states(
                    "Connected",
                    "Whether a sink can be written.",
                    f"min by (sink) ({selected(app.SINK_CONNECTED.name, SERVICE)})",
                    "{{sink}}",
                    ("no", "yes"),
                ),
            ),
        ),
    ),
)
