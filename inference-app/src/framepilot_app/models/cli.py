"""`framepilot model`: pack a network into a store, and look at what a store holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from framepilot.contract.document import DocumentError
from framepilot_app.models.diff import compare, document, rows, savings, title
from framepilot_app.models.model import ALL_FILES, Model, ModelError
from framepilot_app.models.spec import (
    ClassificationOutput,
    DetectionOutput,
    EmbeddingOutput,
    OutputSpec,
    PackSpec,
    parse_spec,
)
from framepilot_app.models.verify import open_model, read_spec

app = typer.Typer(help="Pack, verify and inspect models.", no_args_is_help=True)
_errors = Console(stderr=True)


class Output(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    JSON = "json"


Folder = Annotated[Path, typer.Argument(help="A model's folder: <store>/<model>/<version>.")]


@app.command()
def pack(
    source: Annotated[str, typer.Argument(help="A .pt2 or .onnx file, or package.module:factory of a torch module.")],
    spec: Annotated[
        Path, typer.Option(help="YAML: name, version, licence, input, output.", exists=True, dir_okay=False)
    ],
    store: Annotated[Path, typer.Option(help="The folder of the store.", file_okay=False)],
    trust: Annotated[
        bool, typer.Option("--trust", help="Read a .pt2 with pickled content; it can execute code.")
    ] = False,
    example: Annotated[Path | None, typer.Option(help="A picture for the example; else a seeded random one.")] = None,
) -> None:
    """Export, fold, check and write a network as <store>/<model>/<version>."""
    with _one_line_errors(), _errors.status("read the spec") as status:
        wanted = parse_spec(PackSpec, spec.read_bytes(), str(spec))
        status.update("load torch")
        try:
            from framepilot_app.models.pack import pack as pack_model  # noqa: PLC0415 - takes seconds
        except ModuleNotFoundError as error:
            raise ModelError(source, f"{error}; install framepilot-inference-app[onnx] where you pack") from error
        packed = pack_model(source, wanted, store, trust=trust, example=example, progress=status.update)
    outcome = "is there already, identical" if packed.existed else "packed"
    typer.echo(f"{packed.model.folder}: {outcome}, sha256 {packed.model.sha256}")


@app.command()
def verify(
    folder: Folder, sha256: Annotated[str | None, typer.Option(help="The digest that it must have.")] = None
) -> None:
    """Check every digest of a model and that its parts fit together."""
    with _one_line_errors(), _errors.status(f"verify {folder}"):
        model = open_model(folder.absolute(), sha256)
    typer.echo(f"{folder}: good, sha256 {model.sha256}")


@app.command()
def inspect(folder: Folder) -> None:
    """Show what a model is."""
    with _one_line_errors(), _errors.status(f"verify {folder}"):
        model = open_model(folder.absolute())
        rows = _facts(model)
    table = Table(box=None, show_header=False, title=f"{model.spec.name} {model.spec.version}", title_justify="left")
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="A model's folder: <store>/<model>/<version>.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one's.")],
    output: Annotated[Output, typer.Option("--output", "-o", help="How to print it.")] = Output.TABLE,
) -> None:
    """Show what two models share if they run in one instance, what that saves, and why it is not more."""
    with _one_line_errors(), _errors.status("compare"):
        models = (open_model(first.absolute()), open_model(second.absolute()))
        found = compare(*models)
    if output is Output.JSON:
        typer.echo(json.dumps(document(*models, found), indent=2))
        return
    table = Table("", *(f"{name}: {title(model)}" for name, model in zip("AB", models, strict=True)), box=None)
    for row in rows(found):
        table.add_row(*row)
    console = Console()
    console.print(table)
    for sentence in savings(found):
        typer.echo(sentence)
    ends = Table("A's node", "B's node", "why it ends there", title="where it ends", title_justify="left", box=None)
    for end in found.ends:
        ends.add_row(end.first or "-", end.second or "-", Text(end.reason))
    console.print(ends if found.ends else "they are the same program, with the same parameters")


@app.command("list")
def list_models(store: Annotated[Path, typer.Argument(help="The folder of the store.")]) -> None:
    """List the models of a store. Digests of their files are not checked: see verify."""
    table = Table("model", "version", "task", "sha256", "description")
    with _one_line_errors():
        for folder in _folders(store):
            try:
                spec, sha256 = read_spec(folder)
                table.add_row(folder.parent.name, folder.name, spec.output.task, sha256[:12], spec.description)
            except ModelError as error:
                table.add_row(folder.parent.name, folder.name, "-", "-", f"broken: {error.what}")
    Console().print(table)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """A refusal is one line on stderr and exit code 1; anything else is a defect and keeps its traceback."""
    try:
        yield
    except (ModelError, DocumentError) as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(1) from error


def _folders(store: Path) -> list[Path]:
    if not store.is_dir():
        raise ModelError(store, "there is no such store; give the folder that holds <model>/<version>")
    models = sorted(folder for folder in store.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    return [
        version
        for model in models
        for version in sorted(model.iterdir())
        if version.is_dir() and not version.name.startswith(".")
    ]


def _facts(model: Model) -> list[tuple[str, str]]:
    spec, program = model.spec, model.program()
    taken = spec.input
    return [
        ("description", spec.description),
        ("licence", spec.licence),
        ("source", spec.source),
        ("task", _task(spec.output)),
        ("input", f"{taken.width} x {taken.height} {taken.colour}, {taken.resize}"),
        ("operators", str(len(program.nodes))),
        ("parameters", f"{len(program.parameters)} tensors"),
        ("bytes", f"{sum((model.folder / name).stat().st_size for name in ALL_FILES):,}"),
        ("sha256", model.sha256),
    ]


def _task(output: OutputSpec) -> str:
    match output:
        case DetectionOutput():
            return f"detection of {', '.join(output.labels)}, decoder {output.decoder}"
        case ClassificationOutput():
            labels = ", ".join(output.labels[:6]) + (", …" if len(output.labels) > 6 else "")
            return f"classification, {len(output.labels)} labels: {labels}"
        case EmbeddingOutput():
            return f"embedding, {output.size} numbers{', unit length' if output.normalise else ''}"
