"""Changes a module in the YAML file that declares its service, in one step, and finds the file that is meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from framepilot_operator import edit as editing
from framepilot_operator.cluster.desired_file import write_atomically
from framepilot_operator.edit import Edit, EditError
from framepilot_operator.running import Running


def declared_in(service: str, processes: Sequence[Running]) -> tuple[Path, ...]:
    """The files of the running processes that declare a service.

    Raises:
        EditError: a file cannot be read.
    """
    files = dict.fromkeys(file for process in processes for file in process.files)
    return tuple(file for file in files if file.exists() and editing.declares(_read(file), service))


def find(service: str, processes: Sequence[Running]) -> Path:
    """The one file that declares a service, among those of the running processes.

    Raises:
        EditError: no process runs, or none or several of their files declare it.
    """
    if not processes:
        raise EditError("no `framepilot up` is running; name the file with --file FILE")
    found = declared_in(service, processes)
    if len(found) == 1:
        return found[0]
    names = ", ".join(dict.fromkeys(str(file) for file in found or [file for each in processes for file in each.files]))
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
