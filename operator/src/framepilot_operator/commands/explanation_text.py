"""An explanation for a person: a sentence on the service, a table of sizes for each module, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from framepilot.resources.quantities import format_percent
from framepilot_operator.commands.context_error import some
from framepilot_operator.commands.explanation import (
    DeviceExplanation,
    Explanation,
    HeldBack,
    LimitsExplanation,
    ModuleExplanation,
)
from framepilot_operator.planning.alternatives import Alternative


def render(found: Explanation) -> RenderableType:
    """All of it."""
    return Group(*_head(found), *(part for module in found.modules for part in _module(found, module)), *_wrong(found))


def _head(found: Explanation) -> Iterator[Text]:
    yield Text(f"{found.service}: {found.why}", "bold")
    if found.instance is None:
        yield Text("No instance says that it runs it, so nothing is known of what it could run instead.")
        return
    if found.objective_ms is not None:
        yield Text(
            f"A frame is to take {found.objective_ms:g} ms at most; modules may use {found.usable_ms:g} ms of it, "
            "the rest is for what is done before and after."
        )
    if found.cost_per_hour is not None:
        share = "its share of its device, by planned use" if found.beside else "all of its device"
        yield Text(f"It costs {found.cost_per_hour} an hour: {share}.")
    if found.limits is not None:
        yield Text(f"It is limited: {', '.join(_limits(found.limits))}.")
    if found.device is not None:
        yield from _device(found.device)
    if found.beside:
        yield Text(f"Its device runs as well: {', '.join(found.beside)}. All of their objectives count.")


def _limits(limits: LimitsExplanation) -> Iterator[str]:
    if limits.share is not None:
        yield f"{format_percent(limits.share)} of its device's time"
    if limits.memory_bytes is not None:
        yield f"{limits.memory_bytes:,} bytes of parameters, of which it has {limits.parameter_bytes:,}"
    if limits.time_ms is not None:
        yield f"{limits.time_ms:g} ms for a batch"


def _device(device: DeviceExplanation) -> Iterator[Text]:
    busy = device.utilization
    if busy is None:
        yield Text("How busy its device is, nobody says.")
    else:
        others = "" if device.others is None else f", {device.others.value:.0%} of its time with what is not ours"
        yield Text(f"Its device is {busy.value:.0%} busy{others}: {busy.source}, {busy.age_s:.0f} s ago.")
    for doubt in device.doubts:
        yield Text(f"{doubt}.", "yellow")


def _module(found: Explanation, module: ModuleExplanation) -> Iterator[RenderableType]:
    batch = "no batch size yet" if module.batch is None else f"batch {module.batch}"
    why = f": {module.reason}" if module.reason else ""
    yield Text(f"\n{module.name} ({module.model}), {batch}{why}", "bold")
    if module.tuning:
        yield Text(f"While it runs: {module.tuning}. What follows was measured at loading.", "yellow")
    if module.refused is not None:
        yield Text(f"Version {module.refused} was tried, and refused.", "red")
    if module.held_back is not None:
        yield Text(_held_back(module.held_back), "yellow" if module.held_back.size else "red")
    for part in module.shared:
        yield Text(f"{part.nodes} nodes of its beginning run once for it and {some(part.others)}.")
    if module.counted_once:
        yield Text("In what follows it is counted once: each of them has its part of it.")
    if module.alone is not None:
        yield Text(f"It shares no beginning with others: {module.alone}.")
    if not module.sizes:
        yield Text("How long its batches take is not measured yet.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for name in ("batch", "takes ms", "99 % within ms", "an item ms", "a frame at worst ms"):
        table.add_column(name, justify="right")
    table.add_column("")
    for size in module.sizes:
        table.add_row(
            str(size.size),
            *(f"{value:.2f}" for value in (size.typical_ms, size.tail_ms, size.item_ms)),
            f"{size.worst_case_ms:.0f}",
            Text(_verdict(found, size), "red" if size.late else "green" if size.in_force else ""),
        )
    yield table


def _held_back(held_back: HeldBack) -> str:
    if held_back.size == 0:
        return f"It is stopped by the time limit: {held_back.reason}."
    return f"The time limit leaves it batches of {held_back.size} at most: {held_back.reason}."


def _verdict(found: Explanation, size: Alternative) -> str:
    late = f"too late for {', '.join(size.late)}" if found.beside else "too late"
    said = [*(["in force"] if size.in_force else []), *([late] if size.late else [])]
    return ", ".join(said)


def _wrong(found: Explanation) -> Iterator[Text]:
    for condition in found.wrong:
        yield Text(f"\n{condition.type} is {condition.status}: {condition.message}", "red")
