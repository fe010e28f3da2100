"""`python -m support.samples` (with tests/ in PYTHONPATH): build the samples, print their folder on stdout."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from support.samples.build import build
from support.samples.packages import SampleError


def main() -> int:
    console = Console(stderr=True)
    try:
        folder = _with_bar(console) if console.is_terminal else build(_line)
    except SampleError as error:
        console.print(f"error: {error}")
        return 1
    print(folder)
    return 0


def _with_bar(console: Console):
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("samples", total=None)

        def report(what: str, done: int, total: int) -> None:
            if what.startswith("skipped"):
                progress.console.print(what)
            progress.update(task, description=what, completed=done, total=total)

        return build(report)


def _line(what: str, done: int, total: int) -> None:
    print(f"samples [{done}/{total}] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
