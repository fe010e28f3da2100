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
    lines,
    waiting,
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
            "What is shared",
            (
                lines(
                    "Device time of each service",
                    "Seconds of a second; what runs once for several services is split between them by use.",
                    "percentunit",
                    (rate(app.SERVICE_DEVICE_SECONDS.name, INSTANCE, "service"), "{{service}}"),
                ),
                lines(
                    "Parameters",
                    "Of torch's programs: each counted once, as it is in memory, and for every program that uses it.",
                    "bytes",
                    (largest(app.PARAMETERS_UNIQUE.name, INSTANCE), "in memory"),
                    (largest(app.PARAMETERS_REFERENCED.name, INSTANCE), "used"),
                ),
                lines(
                    "Parameters of each service",
                    "What several services have is split evenly between them.",
                    "bytes",
                    (largest(app.SERVICE_PARAMETERS.name, INSTANCE, "service"), "{{service}}"),
                ),
                lines(
                    "Shared beginnings of models",
                    "Items that they served, and pictures that they ran on for that, in a second; 0 if there are none.",
                    "cps",
                    (none_is_zero(rate(app.STAGE_ITEMS.name, INSTANCE)), "items"),
                    (none_is_zero(rate(app.STAGE_PICTURES.name, INSTANCE)), "pictures"),
                ),
            ),
        ),
        Row(
            "GPU, as its driver has it",
            (
                lines(
                    "Utilization",
                    "The share of time in which it worked, for whomever, by who says so; and for this instance.",
                    "percentunit",
                    (largest(app.DEVICE_UTILIZATION.name, INSTANCE, app.SOURCE), "{{source}}"),
                    (largest(app.DEVICE_OWN_UTILIZATION.name, INSTANCE), "this instance"),
                ),
                lines(
                    "Memory",
                    "In use by whomever, of what there is; and by this instance, where the driver lists its process.",
                    "bytes",
                    (largest(app.DEVICE_MEMORY_USED.name, INSTANCE), "in use"),
                    (largest(app.DEVICE_OWN_MEMORY.name, INSTANCE), "this instance"),
                    (largest(app.DEVICE_MEMORY_TOTAL.name, INSTANCE), "there is"),
                ),
                lines(
                    "Power",
                    "What the board draws, and at which power the driver lowers the clocks.",
                    "watt",
                    (largest(app.DEVICE_POWER.name, INSTANCE), "drawn"),
                    (largest(app.DEVICE_POWER_LIMIT.name, INSTANCE), "limit"),
                ),
                lines(
                    "Temperature",
                    "Of the chip.",
                    "celsius",
                    (largest(app.DEVICE_TEMPERATURE.name, INSTANCE), "chip"),
                ),
                lines(
                    "Clocks",
                    "Of the multiprocessors and of the memory.",
                    "hertz",
                    (largest(app.DEVICE_CLOCK.name, INSTANCE, app.CLOCK), "{{clock}}"),
                ),
                lines(
                    "Kept slow",
                    "1 for each reason that keeps the clocks lower than they could be.",
                    "none",
                    (largest(app.DEVICE_THROTTLED.name, INSTANCE, app.REASON), "{{reason}}"),
                ),
                lines(
                    "Errors",
                    "Memory errors since the driver was loaded, and the number of the latest Xid error.",
                    "none",
                    (largest(app.DEVICE_ECC_ERRORS.name, INSTANCE, app.KIND), "{{kind}}"),
                    (largest(app.DEVICE_LAST_XID.name, INSTANCE), "Xid"),
                ),
                lines(
                    "NVML",
                    "1 while it answers, and how old its latest sample is.",
                    "none",
                    (largest(app.DEVICE_TELEMETRY_UP.name, INSTANCE), "answers"),
                    (largest(app.DEVICE_TELEMETRY_AGE.name, INSTANCE), "seconds old"),
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
                waiting(INSTANCE, BOTH, LEGEND),
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
                    "Memory, and its limit",
                    "In use of what there may be, wanted by what is being loaded, and to be left free when a model is.",
                    "bytes",
                    (largest(app.MEMORY_USED.name, INSTANCE, app.MEMORY), "{{memory}} in use"),
                    (largest(app.MEMORY_LOADING.name, INSTANCE, app.MEMORY), "{{memory}} being loaded"),
                    (largest(app.MEMORY_LIMIT.name, INSTANCE, app.MEMORY), "{{memory}} limit"),
                    (largest(app.MEMORY_HEADROOM.name, INSTANCE, app.MEMORY), "{{memory}} to stay free"),
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
