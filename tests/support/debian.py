"""Packages of Debian that tests need: installed once, where that is possible; elsewhere it is said what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence


def provide(packages: Sequence[str], missing: Callable[[], bool], without: str) -> int:
    """Install them if `missing`; 0 also where that cannot be done here, as tests then say what they skip.

    `without` is what becomes of the tests then, as in "tests with real servers are skipped".
    """
    if not missing():
        return 0
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(f"{without}; as root on Debian: apt install {' '.join(packages)}")
        return 0
    print(f"installing {' '.join(packages)}", flush=True)
    quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    subprocess.run(["apt-get", "update"], check=True, **quiet)
    subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], check=True, **quiet)
    return int(missing())
