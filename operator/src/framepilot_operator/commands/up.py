"""`framepilot up`: run what some files declare on this machine, until it ends by itself or is ended."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from framepilot.resources.quantities import duration_ms
from framepilot.resources.service import InferenceService
from framepilot.resources.sink import SinkType
from framepilot_operator import prometheus_options
from framepilot_operator.check import Checked, check, lines
from framepilot_operator.cluster.port import ClusterError
from framepilot_operator.commands.price_option import price_option
from framepilot_operator.running import registered, state_folder, state_home
from framepilot_operator.screen import Show, live_table, log_lines


def up(
    files: Annotated[list[Path], typer.Argument(help="YAML files; edits of them are followed.")],
    for_: Annotated[str | None, typer.Option("--for", help="End after this long, such as 60s.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report of the run, in JSON, to this file.")] = None,
    state: Annotated[Path | None, typer.Option(help="The folder of the state; by default one for these files.")] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(
            help="Folder with a folder for each credentialsSecretName, with STREAM.username and STREAM.password."
        ),
    ] = None,
    page: Annotated[bool, typer.Option(help="Each instance has a web page, for this machine only.")] = True,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS=PRICE", help="What a device costs an hour, such as cpu=0.05; may be repeated."),
    ] = None,
    prometheus: prometheus_options.Url = None,
    prometheus_token_file: prometheus_options.TokenFile = None,
    prometheus_ca_file: prometheus_options.CaFile = None,
) -> None:
    """Run services on this machine; ends when all streams have ended, after --for, or on Ctrl-C."""
    prices = price_option(price)
    server = prometheus_options.server(prometheus, prometheus_token_file, prometheus_ca_file)
    checked = check(files)
    services = [resource for _, resource in checked.resources if isinstance(resource, InferenceService)]
    problems = list(lines(checked.problems))
    if not services and not problems:
        problems = ["there is no InferenceService in these files; nothing would run"]
    problems += _without_credentials(services, credentials)
    if problems:
        for line in problems:
            typer.echo(line, err=True)
        raise typer.Exit(1)
    # Whatever needs sockets and watches is loaded only here: the other commands start without it.
    from framepilot_operator.session import Session, run  # noqa: PLC0415

    home = state_home(os.environ)
    session = Session(
        files=tuple(file.absolute() for file in files),
        state=state or state_folder(home, files),
        for_s=None if for_ is None else _seconds(for_),
        report=None if report is None else report.absolute(),
        credentials=None if credentials is None else credentials.absolute(),
        page=page,
        prices=prices,
        prometheus=server,
    )
    try:
        with registered(home / "up", files, session.state), _screen(checked) as show:
            _say_how_to_change(services[0])
            code = asyncio.run(run(session, show, time.time))
    except (ClusterError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(code)


def _without_credentials(services: Sequence[InferenceService], folder: Path | None) -> Iterator[str]:
    """What is missing of the credentials that services name."""
    for service in services:
        name = service.spec.credentials_secret_name
        if name is None or (folder is not None and (folder / name).is_dir()):
            continue
        where = f"the folder '{folder / name}'" if folder else f"--credentials DIR and in it the folder '{name}'"
        yield f"{service.key}: credentialsSecretName is '{name}'; add {where} with its files, or remove the field"


def _seconds(text: str) -> float:
    try:
        return duration_ms(text) / 1000
    except ValueError as error:
        typer.echo(f"--for: {error}", err=True)
        raise typer.Exit(2) from error


def _screen(checked: Checked) -> AbstractContextManager[Show]:
    """A table, unless results or somebody else's output would be written through it."""
    to_stdout = any(
        sink.type is SinkType.STDOUT
        for _, resource in checked.resources
        if isinstance(resource, InferenceService)
        for sink in resource.spec.sinks
    )
    if sys.stdout.isatty() and sys.stderr.isatty() and not to_stdout:
        return live_table()
    return log_lines(time.monotonic)


def _say_how_to_change(service: InferenceService) -> None:
    module = service.spec.modules[0]
    subject = f"framepilot set {service.key} {module.name}"
    typer.echo(
        f"Change it while it runs: {subject} --batch 16|auto, {subject} --model-version VERSION, or edit the file. "
        "Ctrl-C ends it.",
        err=True,
    )
