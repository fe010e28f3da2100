"""What a person sees of services: whether they are ready, what each module runs, and below that what is to be known.

Of a single one, what is planned for it as well, and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from framepilot_operator.commands.service_view import GOOD, ConditionView, ModuleView, PlanView, ServiceView

SHOWN: Final = ("Ready", "ObjectiveMet", "Reconciling", "Stalled")
NOT_KNOWN: Final = "not known"


def render(services: Sequence[ServiceView]) -> RenderableType:
    """Services, their modules, and a sentence for everything that is wrong or under way."""
    if not services:
        return Text("there are no services")
    plan = services[0].status.plan if len(services) == 1 else None
    planned = () if plan is None else ("", _planned(plan), Text(_summary(plan)))
    return Group(_services(services), "", _modules(services), *planned, *_sentences(services))


def _services(services: Sequence[ServiceView]) -> Table:
    table = _table("service", *(kind.lower() for kind in SHOWN))
    for service in services:
        table.add_row(service.key, *(_condition(kind, service.condition(kind)) for kind in SHOWN))
    return table


def _condition(kind: str, condition: ConditionView | None) -> Text:
    if condition is None:
        return Text("not reported", "yellow")
    return Text(f"{condition.status} {condition.reason}".rstrip(), _style(kind, condition))


def _style(kind: str, condition: ConditionView) -> str:
    if kind not in GOOD:
        return "yellow" if condition.status == "True" else ""
    if condition.status == GOOD[kind]:
        return "green" if kind == "Ready" else ""
    return "yellow" if condition.status == "Unknown" else "red"


def _modules(services: Sequence[ServiceView]) -> Table:
    table = _table("module", "declared", "serving", "candidate", "refused", "batch")
    table.columns[-1].justify = "right"
    for service in services:
        for module in service.spec.modules:
            reported = service.reported(module.name)
            table.add_row(
                f"{service.key}/{module.name}",
                _declared(service, module),
                reported.serving or "",
                Text(reported.candidate or "", "yellow"),
                Text(reported.refused or "", "red"),
                "" if reported.batch is None else str(reported.batch),
            )
    return table


def _declared(service: ServiceView, module: ModuleView) -> str:
    return f"{module.model.name} {module.model.version}, batch {service.batching_of(module).declared}"


def _planned(plan: PlanView) -> Table:
    table = _table("planned", "batch", "waits", "budget", "latency", "device time", "why")
    for module in plan.modules:
        table.add_row(
            module.name,
            "" if module.batch is None else str(module.batch),
            module.max_wait or "0ms",
            module.budget or "",
            module.latency or NOT_KNOWN,
            module.utilization or NOT_KNOWN,
            module.why,
        )
    return table


def _summary(plan: PlanView) -> str:
    latency = plan.latency or NOT_KNOWN
    cost = "" if plan.cost_per_hour is None else f", costs {plan.cost_per_hour} an hour"
    return f"all: latency {latency}, device time {plan.utilization or NOT_KNOWN}{cost}: {plan.reason}"


def _sentences(services: Sequence[ServiceView]) -> Iterator[Text]:
    for service in services:
        if not service.seen:
            yield Text(f"{service.key}: the operator has not looked at the newest declaration yet", "yellow")
        for condition in service.status.conditions:
            style = _style(condition.type, condition)
            if style in {"red", "yellow"}:
                yield Text(f"{service.key} {condition.type}: {condition.message}", style)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for position, column in enumerate(columns):
        table.add_column(column, no_wrap=position == 0)
    return table
