"""`framepilot plan --workload`: what a workload costs at least under its latency objective, and on which instances."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.plan_document import Document, plan_document
from framepilot_operator.planning.plan_table import plan_table
from framepilot_operator.planning.simulation.outcome import Outcome
from framepilot_operator.planning.simulation.verify import Load, verified
from framepilot_operator.planning.solvers import SOLVERS
from framepilot_operator.planning.workload_file import WorkloadError, parse_workloads


class Output(StrEnum):
    """How a plan is shown."""

    JSON = "json"
    TABLE = "table"


class Cost(StrEnum):
    """What an instance that is not saturated costs."""

    FRACTIONAL = "fractional"
    WHOLE = "whole"


def plan(
    workload: Annotated[Path, typer.Option("--workload", help="A JSON file with one workload, or a list of them.")],
    cost: Annotated[Cost, typer.Option(help="What the last instance of a module costs: its share, or all.")] = (
        Cost.FRACTIONAL
    ),
    solver: Annotated[str, typer.Option(help=f"One of {', '.join(SOLVERS)}.")] = "framepilot",
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Simulate each plan; plan again with a margin what does not hold.")
    ] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="As JSON, or as a table.")] = Output.TABLE,
) -> None:
    """Plan workloads: the cheapest instances that keep the latency objective."""
    if solver not in SOLVERS:
        raise typer.BadParameter(f"there is no solver '{solver}'; take one of {', '.join(SOLVERS)}")
    try:
        workloads, listed = parse_workloads(workload.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, WorkloadError) as error:
        typer.echo(f"{workload}: {error}", err=True)
        raise typer.Exit(1) from error
    model: CostModel = "whole" if cost is Cost.WHOLE else "fractional"
    solve = SOLVERS[solver]
    plans: list[tuple[WorkloadPlan, float, Outcome | None]] = []
    for each in workloads:
        start = time.perf_counter()
        if simulate:
            verdict = verified(each, lambda tried: solve(tried, model, time.perf_counter), Load())
            made, outcome = verdict.plan, verdict.outcome
        else:
            made, outcome = solve(each, model, time.perf_counter), None
        plans.append((made, (time.perf_counter() - start) * 1000.0, outcome))
    if output is Output.TABLE:
        typer.echo("\n\n".join(plan_table(*each) for each in plans))
        return
    documents: list[Document] = [plan_document(*each) for each in plans]
    typer.echo(json.dumps(documents if listed else documents[0], indent=2))
