"""What a runtime's services share, for a person: sentences, and a table of who took how much of the device's time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from framepilot_operator.commands.context_error import some
from framepilot_operator.commands.runtime_explanation import Parameters, RuntimeExplanation, StageExplanation, Use

MODEL_DIFF: Final = "Where two models part, and why: framepilot model diff A B, with the folders of their versions."
_UNITS: Final = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))


def render(found: RuntimeExplanation) -> RenderableType:
    """All of it."""
    return Group(*_parts(found))


def _parts(found: RuntimeExplanation) -> Iterator[RenderableType]:
    if not found.services:
        yield Text(f"{found.runtime}: no service names it in placement.runtimeRef, so nothing runs in it.", "bold")
        return
    yield Text(f"{found.runtime}: {some(found.services)}", "bold")
    if found.instance is None:
        yield Text(_silence(found), "yellow")
    if found.missing:
        yield Text(f"Not running in it yet: {some(found.missing)}.", "yellow")
    if found.instance is None and found.age_s is None:
        return
    if len(found.services) == 1:
        yield Text("One service runs in it, so there is no other one to share with.")
    elif not found.stages:
        yield Text("Nothing runs once for several of their modules: each runs all of its model.")
    for stage in found.stages:
        yield from _stage(stage)
    if found.parameters is not None:
        yield Text(_memory(found.parameters))
    if any(each.seconds for each in found.charged):
        yield _charged(found)
    for alone in found.alone:
        yield Text(f"{alone.module} shares no beginning with others: {alone.reason}.")
    if len(found.services) > 1:
        yield Text(MODEL_DIFF)


def _silence(found: RuntimeExplanation) -> str:
    why = "No instance says that it is its own" if found.silence is None else f"Its instance is away: {found.silence}"
    if found.age_s is None:
        return f"{why}. What its models share was not reported yet."
    return f"{why}. What follows was reported {_age(found.age_s)} ago, and was so when it was last heard of."


def _age(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _stage(stage: StageExplanation) -> Iterator[Text]:
    engine = "" if stage.engine is None else f" on {stage.engine}"
    yield Text(
        f"Stage {stage.name} runs{engine} once for {len(stage.modules)} modules: {stage.nodes} nodes of their graphs, "
        f"{stage.share:.1%} of the arithmetic of the largest."
    )
    yield Text(f"  {some(stage.modules)}")
    if stage.use is not None:
        yield Text(f"  {_use(stage.use)}")


def _use(use: Use) -> str:
    if use.saved_seconds is None:
        return "Nothing has run in it yet."
    return (
        f"It ran on {use.pictures:,} pictures instead of {use.items:,} items, in {use.batches:,} batches and "
        f"{use.seconds:.2f} s of the device's time; about {use.saved_seconds:.2f} s were saved."
    )


def _memory(parameters: Parameters) -> str:
    if parameters.saved == 0:
        return f"Parameters take {parameters.unique:,} bytes; no two models have one in common."
    return (
        f"Parameters take {parameters.unique:,} bytes; they would take {parameters.referenced:,} if each model had its "
        f"own, so {parameters.saved:,} are saved."
    )


def _charged(found: RuntimeExplanation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    table.add_column("service", no_wrap=True)
    for name in ("device s", "of all", "parameters, bytes"):
        table.add_column(name, justify="right")
    for each in found.charged:
        share = "" if each.share is None else f"{each.share:.1%}"
        table.add_row(each.service, f"{each.seconds:.2f}", share, f"{each.parameter_bytes:,}")
    return table
