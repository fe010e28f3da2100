"""Rollouts: a change of version or batch size, and what frames felt of it."""

from __future__ import annotations

from typing import Final

from charts.dashboards.expressions import MODULE, NAMESPACE, SERVICE, largest, mean, numbered
from charts.dashboards.grafana import Dashboard, Row
from charts.dashboards.panels import (
    LINKS,
    MODULES,
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
from framepilot.rollouts.state import RolloutState

STATES: Final = tuple(each.value for each in RolloutState)

PAGE: Final = Dashboard(
    uid=LINKS["Rollouts"],
    title="Framepilot / Rollouts",
    description="A change of version or batch size, and what frames felt of it.",
    variables=(NAMESPACES, ONE_SERVICE, MODULES),
    links=LINKS,
    rows=(
        Row(
            "Change",
            (
                states(
                    "Rollout",
                    "The state that the latest rollout of a module is in.",
                    numbered(app.ROLLOUT_STATE.name, MODULE, STATES, "module"),
                    "{{module}}",
                    STATES,
                ),
                versions(MODULE),
                lines(
                    "Batch size",
                    "The most items of one batch.",
                    "none",
                    (largest(app.MODULE_BATCH_CAP.name, MODULE, "module"), "{{module}}"),
                    width=12,
                ),
                lines(
                    "Desired state",
                    "The generation that is in force in each instance.",
                    "none",
                    (largest(app.DESIRED_GENERATION.name, NAMESPACE, "instance"), "{{instance}}"),
                    width=12,
                ),
            ),
        ),
        Row(
            "What it took",
            (
                lines(
                    "Pause",
                    "Between two batches, for the latest switch.",
                    "s",
                    (largest(app.ROLLOUT_PAUSE.name, MODULE, "module"), "{{module}}"),
                ),
                lines(
                    "Longest step",
                    "The longest that one step of loading or warming held the device.",
                    "s",
                    (largest(app.ROLLOUT_STEP.name, MODULE, "module"), "{{module}}"),
                ),
                lines(
                    "Loading",
                    "All steps until the program was ready to warm up.",
                    "s",
                    (largest(app.ROLLOUT_LOAD.name, MODULE, "module"), "{{module}}"),
                ),
            ),
        ),
        Row(
            "What frames felt",
            (
                latency(0.5, 0.99),
                delivered(),
                dropped(SERVICE),
                lines(
                    "Time of a batch",
                    "Mean duration of a batch.",
                    "s",
                    (mean(app.MODULE_STAGE.name, f'{MODULE},stage="infer"', "module"), "{{module}}"),
                    width=12,
                ),
                waiting(MODULE, "module", "{{module}}", width=12),
            ),
        ),
    ),
)
