"""An engine beside torch's: it opens a file with a form of the program."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from framepilot_app.graphs.engine import Compiled
from framepilot_app.graphs.program import ImageInput
from framepilot_app.graphs.program_form import ProgramForm


def no_preload() -> None:
    """For an engine that is there with torch."""


@dataclass(frozen=True, slots=True)
class FileEngine:
    """What it reads, what it needs, and how it opens a model (file, input, threads)."""

    form: ProgramForm
    open_model: Callable[[Path, ImageInput, int], Compiled]

    package: str = "torch"
    """It is an extra of the same name, unless it is torch itself."""

    preload: Callable[[], None] = no_preload
    """Imports it, where that takes long."""

    tried_by_auto: bool = True
    """Whether it is measured where no engine is named."""

    def missing(self) -> str | None:
        """Why it cannot be used here at all."""
        return missing_package(self.package, self.package) or self.form.missing()


def missing_package(package: str, extra: str) -> str | None:
    """That a package is not installed, and how to install it."""
    if importlib.util.find_spec(package) is not None:
        return None
    return f"not installed: there is no package '{package}'; install framepilot-inference-app[{extra}]"
