"""`framepilot plan`: what the loop would run for services, or what a workload costs at least, and where."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from ruamel.yaml import YAML

from framepilot_operator.commands.plan_services import PlanError, plan_services
from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.plan_document import Document, plan_document
from framepilot_operator.planning.plan_table import plan_table
from framepilot_operator.planning.service_plan_text import service_plan_document, service_plan_table
from framepilot_operator.planning.simulation.outcome import Outcome
from framepilot_operator.planning.simulation.verify import Load, verified
from framepilot_operator.planning.solvers import SOLVERS, check_rules
from framepilot_operator.planning.workload_file import WorkloadError, parse_workloads
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
    explain: Annotated[bool, typer.Option("--explain", help="Say why, for each decision about a service.")] = False,
    device_class: Annotated[
        str | None, typer.Option("--device-class", help="Of the services' instances; else that of the profiles.")
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
    if workload is not None:
        _plan_workloads(workload, "whole" if cost is Cost.WHOLE else "fractional", solver, output, simulate=simulate)
        return
    _plan_services(files or [], state, device_class, output, explain=explain)


def _plan_services(
    files: Sequence[Path], state: Path | None, device_class: str | None, output: Output, *, explain: bool
) -> None:
    home = state_home(os.environ)
    folders = {state_folder(home, files), *(state_folder(home, [file]) for file in files)} if state is None else {state}
    try:
        chosen, plans = plan_services(files, sorted(folders), device_class)
    except PlanError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if output is Output.TABLE:
        typer.echo("\n\n".join(service_plan_table(each, chosen, explained=explain) for each in plans))
        return
    _write([service_plan_document(each, chosen) for each in plans], output)


def _plan_workloads(path: Path, cost_model: CostModel, solver: str, output: Output, *, simulate: bool) -> None:
    try:
        workloads, listed = parse_workloads(path.read_text(encoding="utf-8"))
        check_rules(solver, workloads)
    except (OSError, UnicodeDecodeError, WorkloadError) as error:
        typer.echo(f"{path}: {error}", err=True)
        raise typer.Exit(1) from error
    solve = SOLVERS[solver]
    plans: list[tuple[WorkloadPlan, float, Outcome | None]] = []
    for each in workloads:
        start = time.perf_counter()
        if simulate:
            verdict = verified(each, lambda tried: solve(tried, cost_model, time.perf_counter), Load())
            made, outcome = verdict.plan, verdict.outcome
        else:
            made, outcome = solve(each, cost_model, time.perf_counter), None
        plans.append((made, (time.perf_counter() - start) * 1000.0, outcome))
    if output is Output.TABLE:
        typer.echo("\n\n".join(plan_table(*each) for each in plans))
        return
    documents: list[Document] = [plan_document(*each) for each in plans]
    _write(documents if listed else documents[0], output)


def _write(document: Document | list[Document], output: Output) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps(document, indent=2))
        return
    text = io.StringIO()
    # The round-trip dumper keeps the order of the fields.
    YAML().dump(document, text)
    typer.echo(text.getvalue(), nl=False)
