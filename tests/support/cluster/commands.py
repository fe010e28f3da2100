"""Runs a program to its end; what it said stands in the error if it failed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.cluster.errors import ClusterSetupError
from support.cluster.progress import Report

TAIL_LINES = 30


def run(command: Sequence[str | Path], given: str | None = None, cwd: Path | None = None, **environment: str) -> str:
    """What it printed.

    Raises:
        ClusterSetupError: there is no such program, or its exit status is not 0.
    """
    words = [str(word) for word in command]
    settings = {**os.environ, **environment}
    try:
        done = subprocess.run(words, input=given, cwd=cwd, env=settings, text=True, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ClusterSetupError(f"this machine has no {words[0]}: install it, or add its folder to PATH") from error
    if done.returncode != 0:
        raise ClusterSetupError(f"`{' '.join(words)}` failed: {tail(done.stderr.strip() or done.stdout.strip())}")
    return done.stdout


def follow(
    command: Sequence[str | Path], report: Report, cwd: Path | None = None, total: int = 0, **environment: str
) -> None:
    """Run what takes long; each line that it prints is reported, the count of lines being how far it is.

    Raises:
        ClusterSetupError: its exit status is not 0.
    """
    words = [str(word) for word in command]
    settings: Mapping[str, str] = {**os.environ, **environment}
    lines: list[str] = []
    with subprocess.Popen(
        words, cwd=cwd, env=settings, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            report(lines[-1], len(lines), total)
    if process.returncode != 0:
        raise ClusterSetupError(f"`{' '.join(words)}` failed:\n" + tail("\n".join(lines)))


def tail(text: str) -> str:
    """Its last lines: where programs say why."""
    return "\n".join(text.splitlines()[-TAIL_LINES:])
