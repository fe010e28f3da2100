"""Packages of Debian that tests need installed: by root, where there is an apt-get; elsewhere it is said what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence


def install(tests: str, packages: Sequence[str], missing: Callable[[], bool]) -> int:
    """An exit status: 0 also where nothing can be installed here, as `tests` then say what they skip."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(f"{tests} are skipped; as root on Debian: apt install {' '.join(packages)}")
        return 0
    print(f"installing {' '.join(packages)}", flush=True)
    quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    subprocess.run(["apt-get", "update"], check=True, **quiet)
    subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], check=True, **quiet)
    return int(missing())
