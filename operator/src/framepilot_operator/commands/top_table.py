"""What a person sees of how instances are used: devices, services, modules, streams, and below them what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from framepilot_operator.commands.instance_look import DeviceRow, ModuleRow, StreamRow, Usage
from framepilot_operator.table import plain_table

BUSY: Final = 0.95
"""A device that is used more than this share of the time is marked."""
MIB: Final = 2**20
_STATES: Final = {"running": "green", "stalled": "yellow", "failed": "red"}


def render(usage: Usage) -> RenderableType:
    """Tables, and sentences on what is wrong."""
    if not usage.devices:
        return Group(Text("no instance says what it does"), *_sentences(usage))
    tables = (_services(usage), _modules(usage), _streams(usage))
    return Group(_devices(usage), *(each for table in tables for each in ("", table)), *_sentences(usage))


def _devices(usage: Usage) -> Table:
    table = plain_table(
        "instance", "device", "busy", "of it ours", "others", "memory", "°C", "W", "as it says", right=2
    )
    for row in usage.devices:
        table.add_row(
            row.instance,
            f"{row.device} ({row.device_class})",
            Text(_percent(row.utilization), "yellow" if (row.utilization or 0) > BUSY else ""),
            _percent(row.own),
            _percent(row.others),
            _memory(row),
            _number(row.temperature_celsius, 0),
            _number(row.power_watts, 0),
            "" if row.source is None else f"{row.source}, {row.age_s:.0f} s ago",
        )
    return table


def _services(usage: Usage) -> Table:
    table = plain_table("service", "objective ms", "within it", right=1)
    for row in usage.services:
        table.add_row(
            row.service,
            "" if row.objective_ms is None else f"{row.objective_ms:g}",
            "" if row.attainment is None else f"{row.attainment:.2%}",
        )
    return table


def _modules(usage: Usage) -> Table:
    table = plain_table("module", "model", "batch", "items/s", "queue", "infer ms", "p50 ms", "p99 ms", right=2)
    for row in usage.modules:
        table.add_row(
            f"{row.service}/{row.module}",
            _model(row),
            str(row.batch),
            _number(row.items_per_second, 1),
            str(row.queue),
            *(f"{value:.1f}" for value in (row.infer_ms, row.p50_ms, row.p99_ms)),
        )
    return table


def _streams(usage: Usage) -> Table:
    table = plain_table("stream", "state", "captured/s", "still/s", "delivered/s", "dropped/s", right=2)
    for row in usage.streams:
        table.add_row(
            f"{row.service}/{row.stream}",
            Text(row.state, _STATES.get(row.state, "")),
            f"{row.captured:.1f}",
            _number(row.still, 1),
            _number(row.delivered, 1),
            Text(_number(row.dropped, 1), "yellow" if row.dropped else ""),
        )
    return table


def _sentences(usage: Usage) -> Iterator[Text]:
    for instance, reason in sorted(usage.silent.items()):
        yield Text(f"{instance}: {reason}", "red")
    for device in usage.devices:
        if device.trouble is not None:
            yield Text(f"{device.instance}: {device.trouble}", "yellow")
    for stream in usage.streams:
        if stream.reason is not None:
            yield Text(f"{_of(stream)}: {stream.reason}", "yellow")


def _of(stream: StreamRow) -> str:
    return f"{stream.service}/{stream.stream}"


def _model(row: ModuleRow) -> Text:
    return Text(f"{row.model} serves not yet", "yellow") if row.version is None else Text(f"{row.model} {row.version}")


def _memory(row: DeviceRow) -> str:
    if row.memory_used_bytes is None or row.memory_total_bytes is None:
        return ""
    return f"{row.memory_used_bytes / MIB:.0f} of {row.memory_total_bytes / MIB:.0f} MiB"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
