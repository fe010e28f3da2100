"""Once warm, batches take no memory from the system: what one has freed is there for the next one."""

from __future__ import annotations

import os
import subprocess
import sys

from framepilot_app.cli import GLIBC_TUNABLES


def pages_taken(tunables: str) -> int:
    command = [sys.executable, "-m", "support.batch_memory"]
    environment = {**os.environ, "GLIBC_TUNABLES": tunables}
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def test_what_a_batch_frees_is_kept_for_the_next_one() -> None:
    assert pages_taken(GLIBC_TUNABLES) * 10 < pages_taken("")
