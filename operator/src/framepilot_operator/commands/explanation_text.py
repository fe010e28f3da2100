"""An explanation for a person: a sentence on the service, a table of sizes for each module, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from framepilot_operator.commands.explanation import Explanation, ModuleExplanation
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
    if found.beside:
        yield Text(f"Its device runs as well: {', '.join(found.beside)}. All of their objectives count.")


def _module(found: Explanation, module: ModuleExplanation) -> Iterator[RenderableType]:
    batch = "no batch size yet" if module.batch is None else f"batch {module.batch}"
    why = f": {module.reason}" if module.reason else ""
    yield Text(f"\n{module.name} ({module.model}), {batch}{why}", "bold")
    if module.refused is not None:
        yield Text(f"Version {module.refused} was tried, and refused.", "red")
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


def _verdict(found: Explanation, size: Alternative) -> str:
    late = f"too late for {', '.join(size.late)}" if found.beside else "too late"
    said = [*(["in force"] if size.in_force else []), *([late] if size.late else [])]
    return ", ".join(said)


def _wrong(found: Explanation) -> Iterator[Text]:
    for condition in found.wrong:
        yield Text(f"\n{condition.type} is {condition.status}: {condition.message}", "red")
