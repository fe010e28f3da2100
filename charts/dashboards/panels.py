"""What dashboards have in common: kinds of panels, what can be chosen, and panels that stand on several of them."""

from __future__ import annotations

from typing import Final

from charts.dashboards.expressions import NAMESPACE, SERVICE, largest, quantile, rate, selected, total
from charts.dashboards.grafana import Kind, Panel, Query, Variable

from framepilot.contract import metrics as app

LINKS: Final = {
    "Fleet": "framepilot-fleet",
    "Service": "framepilot-service",
    "Device": "framepilot-device",
    "Rollouts": "framepilot-rollouts",
}

NAMESPACES: Final = Variable("namespace", "namespace", app.OBJECTIVE.name, "Namespace")
ONE_SERVICE: Final = Variable("service", "service", selected(app.OBJECTIVE.name, NAMESPACE), "Service", many=False)
BUSY: Final = selected(app.DEVICE_BUSY.name, NAMESPACE)
ONE_INSTANCE: Final = Variable("instance", "instance", BUSY, "Instance", many=False)
MODULES: Final = Variable("module", "module", selected(app.MODULE_SERVING.name, SERVICE), "Module")

LATENCY_TEXT: Final = "From the return of decode to the hand-over to the sinks; the objective beside it."
ATTAINMENT_TEXT: Final = "Of the frames that were taken on, those that were delivered in time."
INGESTED_TEXT: Final = "Frames decoded and offered to the service, in a second."
DELIVERED_TEXT: Final = "Frames handed to the sinks, in a second."
DROPPED_TEXT: Final = "In a second, by reason. Superseded: passed over for a newer one. Still: nothing had changed."
BATCH_TEXT: Final = "Mean size of the batches that ran, and the most that one may have."
WAITING_TEXT: Final = "Items that wait for a batch."


def number(title: str, description: str, unit: str, expression: str) -> Panel:
    """One number, as it is now."""
    return Panel(title, description, unit, (Query(expression, ""),), Kind.NUMBER, width=4)


def lines(title: str, description: str, unit: str, *queries: tuple[str, str], width: int = 8) -> Panel:
    """Lines over time, by expression and legend."""
    return Panel(title, description, unit, tuple(Query(*each) for each in queries), width=width)


def states(title: str, description: str, expression: str, legend: str, texts: tuple[str, ...]) -> Panel:
    """What state something was in, over time."""
    return Panel(title, description, "none", (Query(expression, legend),), Kind.STATES, width=12, texts=texts)


def latency(*shares: float) -> Panel:
    """Quantiles of the latency of a service's frames."""
    asked = [(quantile(share, app.FRAME_LATENCY.name, SERVICE), f"p{share * 100:g}") for share in shares]
    return lines("Latency", LATENCY_TEXT, "s", *asked, (largest(app.OBJECTIVE.name, SERVICE), "objective"))


def delivered() -> Panel:
    """What a service delivers, by stream."""
    return lines(
        "Frames delivered", DELIVERED_TEXT, "cps", (rate(app.FRAMES_DELIVERED.name, SERVICE, "stream"), "{{stream}}")
    )


def dropped(where: str) -> Panel:
    """Frames that were dropped, by reason."""
    return lines("Frames dropped", DROPPED_TEXT, "cps", (rate(app.FRAMES_DROPPED.name, where, "reason"), "{{reason}}"))


def waiting(where: str, by: str, legend: str, width: int = 8) -> Panel:
    """Items that wait for a batch."""
    expression = total(app.MODULE_QUEUE.name, where, by)
    return lines("Items that wait", WAITING_TEXT, "none", (expression, legend), width=width)


def versions(where: str) -> Panel:
    """Which version of each module serves."""
    expression = largest(app.MODULE_VERSION.name, where, "module, model, version")
    legend = "{{module}} {{model}} {{version}}"
    return states("Version that serves", "Of each module, over time.", expression, legend, ("", "serves"))
