"""One device: what takes its time, of all services of its instance."""

from __future__ import annotations

from typing import Final

from charts.dashboards.expressions import INSTANCE, largest, mean, none_is_zero, quantile, rate, total
from charts.dashboards.grafana import Dashboard, Row
from charts.dashboards.panels import (
    BATCH_TEXT,
    DELIVERED_TEXT,
    LINKS,
    NAMESPACES,
    ONE_INSTANCE,
    WAITING_TEXT,
    lines,
)

from framepilot.contract import metrics as app

BOTH: Final = "service, module"
LEGEND: Final = "{{service}} {{module}}"

PAGE: Final = Dashboard(
    uid=LINKS["Device"],
    title="Framepilot / Device",
    description="The device of one instance, and what takes its time.",
    variables=(NAMESPACES, ONE_INSTANCE),
    links=LINKS,
    rows=(
        Row(
            "Device",
            (
                lines(
                    "Busy",
                    "The share of time in which the device ran batches.",
                    "percentunit",
                    (rate(app.DEVICE_BUSY.name, INSTANCE), "busy"),
                    width=12,
                ),
                lines(
                    "Who takes its time",
                    "Seconds of a second, by module.",
                    "percentunit",
                    (rate(f"{app.MODULE_STAGE.name}_sum", f'{INSTANCE},stage="infer"', BOTH), LEGEND),
                    width=12,
                ),
            ),
        ),
        Row(
            "Batches",
            (
                lines(
                    "Batches",
                    "Batches that ran, in a second.",
                    "cps",
                    (rate(f"{app.MODULE_BATCH_ITEMS.name}_count", INSTANCE, BOTH), LEGEND),
                ),
                lines(
                    "Items in a batch",
                    BATCH_TEXT,
                    "none",
                    (mean(app.MODULE_BATCH_ITEMS.name, INSTANCE, BOTH), LEGEND),
                    (largest(app.MODULE_BATCH_CAP.name, INSTANCE, BOTH), "{{service}} {{module}} at most"),
                ),
                lines(
                    "Time of a batch, p99",
                    "Its largest of a hundred.",
                    "s",
                    (quantile(0.99, app.MODULE_STAGE.name, f'{INSTANCE},stage="infer"', BOTH), LEGEND),
                ),
                lines(
                    "Items",
                    "Items that have run, in a second.",
                    "cps",
                    (rate(app.MODULE_ITEMS.name, INSTANCE, BOTH), LEGEND),
                ),
                lines("Items that wait", WAITING_TEXT, "none", (total(app.MODULE_QUEUE.name, INSTANCE, BOTH), LEGEND)),
                lines(
                    "Time in the queue, p99",
                    "How long an item waits for its batch to begin.",
                    "s",
                    (quantile(0.99, app.MODULE_STAGE.name, f'{INSTANCE},stage="queue"', BOTH), LEGEND),
                ),
            ),
        ),
        Row(
            "Instance",
            (
                lines(
                    "Frames delivered",
                    DELIVERED_TEXT,
                    "cps",
                    (rate(app.FRAMES_DELIVERED.name, INSTANCE, "service"), "{{service}}"),
                ),
                lines(
                    "Desired state",
                    "The generation that is in force; the other line is 1 while one was found that is not.",
                    "none",
                    (largest(app.DESIRED_GENERATION.name, INSTANCE), "generation"),
                    (largest(app.DESIRED_ERROR.name, INSTANCE), "not in force"),
                ),
                lines(
                    "Faults",
                    "Threads that died, and tasks that raised, since the start.",
                    "none",
                    (none_is_zero(total(app.THREADS_DIED.name, INSTANCE)), "threads"),
                    (total(app.TASKS_FAILED.name, INSTANCE), "tasks"),
                ),
            ),
        ),
    ),
)
