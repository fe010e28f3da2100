"""`framepilot set`: change the batch size or model version of one module, in the file that declares it.

The declaration is the one truth, so nothing is told to the running process: it sees the edit of its file, as it sees
one made by hand.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from framepilot_operator import edit as editing
from framepilot_operator.cluster.desired_file import write_atomically
from framepilot_operator.edit import AUTO, Edit, EditError
from framepilot_operator.running import Running, running, state_home


def set_module(
    service: Annotated[str, typer.Argument(help="Its name, or namespace/name.")],
    module: Annotated[str, typer.Argument(help="The module's name.")],
    batch: Annotated[str | None, typer.Option(help="The batch size, or 'auto'.", metavar="SIZE|auto")] = None,
    model_version: Annotated[str | None, typer.Option(help="The version of the module's model.")] = None,
    file: Annotated[Path | None, typer.Option(help="The file; else that of the running `framepilot up`.")] = None,
) -> None:
    """Change a module's batch size or model version; a running `framepilot up` follows at once."""
    try:
        edit = _edit(service, module, batch, model_version)
        found = file or find(service, running(state_home(os.environ) / "up"))
        changed = rewrite(found, edit)
    except EditError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    for line in changed or (f"{service} {module}: nothing to change, it is declared like that already",):
        typer.echo(line)


def _edit(service: str, module: str, batch: str | None, model_version: str | None) -> Edit:
    if batch is None and model_version is None:
        raise EditError("nothing to set; give --batch, --model-version or both")
    if batch is None or batch == AUTO:
        return Edit(service, module, batch, model_version)
    try:
        return Edit(service, module, int(batch), model_version)
    except ValueError as error:
        raise EditError(f"--batch {batch}: is not a batch size; write a number or '{AUTO}'") from error


def find(service: str, processes: Sequence[Running]) -> Path:
    """The one file that declares a service, among those of the running processes.

    Raises:
        EditError: no process runs, or none or several of their files declare it.
    """
    if not processes:
        raise EditError("no `framepilot up` is running; name the file with --file FILE")
    files = dict.fromkeys(file for process in processes for file in process.files)
    found = [file for file in files if file.exists() and editing.declares(_read(file), service)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(file) for file in found or files)
    if found:
        raise EditError(f"service '{service}' is declared in several files; choose one with --file: {names}")
    raise EditError(f"no running `framepilot up` has a service '{service}'; its files are: {names}")


def rewrite(file: Path, edit: Edit) -> tuple[str, ...]:
    """Make the edit in the file, in one step; what changed, one sentence each.

    Raises:
        EditError: it cannot be made, or what it gives is not valid; the file is untouched.
    """
    edited = editing.apply(_read(file), edit, str(file))
    if not edited.changed:
        return ()
    # A link stays a link, and permissions stay what they are.
    target = file.resolve()
    try:
        mode = target.stat().st_mode
        write_atomically(target, edited.text)
        target.chmod(mode)
    except OSError as error:
        raise EditError(f"{file}: cannot be written: {error.strerror}; nothing was changed") from error
    return edited.changed


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise EditError(f"{file}: there is no such file; check the path") from error
    except OSError as error:
        raise EditError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EditError(f"{file}: is not UTF-8 text") from error
