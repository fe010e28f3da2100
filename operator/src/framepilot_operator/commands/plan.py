"""`framepilot plan`: what the loop would run for services, or what a workload costs at least, and where."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from ruamel.yaml import YAML

from framepilot_operator.commands.plan_error import PlanError
from framepilot_operator.commands.plan_services import Devices, plan_services
from framepilot_operator.commands.plan_workloads import Planning, plan_workloads
from framepilot_operator.commands.price_option import price_option
from framepilot_operator.planning.plan_document import Document, plan_document
from framepilot_operator.planning.plan_table import plan_table
from framepilot_operator.planning.service_plan_text import service_plan_document, service_plan_table
from framepilot_operator.planning.solvers import SOLVERS
from framepilot_operator.running import state_folder, state_home


class Output(StrEnum):
    """How a plan is shown."""

    JSON = "json"
    TABLE = "table"
    YAML = "yaml"


class Cost(StrEnum):
    """What an instance that is not saturated costs."""

    FRACTIONAL = "fractional"
    WHOLE = "whole"


def plan(
    files: Annotated[
        list[Path] | None, typer.Argument(help="YAML files with services, and perhaps with profiles of their models.")
    ] = None,
    workload: Annotated[
        Path | None, typer.Option("--workload", help="Instead: a JSON file with one workload, or a list of them.")
    ] = None,
    cost: Annotated[Cost, typer.Option(help="What the last instance of a module costs: its share, or all.")] = (
        Cost.FRACTIONAL
    ),
    solver: Annotated[str, typer.Option(help=f"One of {', '.join(SOLVERS)}.")] = "framepilot",
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Simulate each plan; plan again with a margin what does not hold.")
    ] = False,
    previous: Annotated[
        Path | None,
        typer.Option("--previous", help="The plan that runs, as -o json printed it: few of its instances are moved."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="DEVICE", help="Plan as if this device class were lost; may be repeated."),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why, for each decision about a service.")] = False,
    device_class: Annotated[
        str | None, typer.Option("--device-class", help="Of the services' instances; else that of the profiles.")
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS=PRICE", help="What a device of the services costs an hour; may be repeated."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="The folder of a state with measured profiles; else that of these files.")
    ] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="As a table, JSON or YAML.")] = Output.TABLE,
) -> None:
    """Plan services as the operator would, or workloads: the cheapest instances that keep the latency objective."""
    if (workload is None) == (not files):
        raise typer.BadParameter("name either files with services, or one --workload")
    if solver not in SOLVERS:
        raise typer.BadParameter(f"there is no solver '{solver}'; take one of {', '.join(SOLVERS)}")
    if previous is not None and solver != "framepilot":
        raise typer.BadParameter(f"--previous is planned by the solver framepilot; leave out --solver {solver}")
    prices = price_option(price)
    if prices and workload is not None:
        raise typer.BadParameter("--price is for the plan of services; the prices of a workload stand in its file")
    if workload is not None:
        how = Planning("whole" if cost is Cost.WHOLE else "fractional", solver, simulate, previous, without or ())
        _plan_workloads(workload, how, output)
        return
    if previous is not None or without:
        raise typer.BadParameter("--previous and --without are for the plan of a --workload")
    _plan_services(files or [], state, Devices(device_class, prices), output, explain=explain)


def _plan_services(
    files: Sequence[Path], state: Path | None, devices: Devices, output: Output, *, explain: bool
) -> None:
    home = state_home(os.environ)
    folders = {state_folder(home, files), *(state_folder(home, [file]) for file in files)} if state is None else {state}
    try:
        chosen, plans = plan_services(files, sorted(folders), devices)
    except PlanError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if output is Output.TABLE:
        typer.echo("\n\n".join(service_plan_table(each, chosen, explained=explain) for each in plans))
        return
    _write([service_plan_document(each, chosen) for each in plans], output)


def _plan_workloads(path: Path, how: Planning, output: Output) -> None:
    try:
        plans, listed = plan_workloads(path, how)
    except PlanError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if output is Output.TABLE:
        typer.echo("\n\n".join(plan_table(each.plan, each.runtime_ms, each.outcome, each.moves) for each in plans))
        return
    documents = [plan_document(each.plan, each.runtime_ms, each.outcome, each.moves) for each in plans]
    _write(documents if listed else documents[0], output)


def _write(document: Document | list[Document], output: Output) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps(document, indent=2))
        return
    text = io.StringIO()
    # The round-trip dumper keeps the order of the fields.
    YAML().dump(document, text)
    typer.echo(text.getvalue(), nl=False)
