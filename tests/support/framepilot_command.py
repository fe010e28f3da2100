"""The command `framepilot` as a person types it: a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FRAMEPILOT = str(Path(sys.executable).with_name("framepilot"))


@dataclass(frozen=True)
class Framepilot:
    """Runs it in a namespace."""

    environment: Mapping[str, str]
    namespace: str

    def __call__(self, command: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """What comes of it; `changes` are variables of its environment that are otherwise."""
        return subprocess.run(
            [FRAMEPILOT, command, *arguments, f"--namespace={self.namespace}"],
            text=True,
            capture_output=True,
            timeout=180,
            env={**self.environment, **changes},
            check=False,
        )
