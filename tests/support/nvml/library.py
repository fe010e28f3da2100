"""A real `libnvidia-ml.so.1` for tests, built from C, and its state, which is changed while a process uses it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("libnvidia-ml.c")
NAME = "libnvidia-ml.so.1"
COMPILER = "gcc"
HEADER = Path("/usr/include/stdio.h")
PACKAGES = ("gcc", "libc6-dev")

NO_PERMISSION = 4
DRIVER_NOT_LOADED = 9
GPU_IS_LOST = 15
VERSION_MISMATCH = 18
UNKNOWN = 999

A_GPU: Mapping[str, object] = {
    "uuid": "GPU-5a0c1f2e-0000-4000-8000-0123456789ab",
    "pci_bus_id": "00000000:3B:00.0",
    "is_mig_device": 0,
    "mig": 0,
    "utilization": 40,
    "memory_used": 6 * 2**30,
    "memory_total": 24 * 2**30,
    "temperature": 61,
    "power_mw": 150_500,
    "power_limit_mw": 300_000,
    "sm_clock_mhz": 1410,
    "memory_clock_mhz": 5001,
    "throttle": 0,
    "ecc_corrected": 3,
    "ecc_uncorrected": 0,
}
"""A healthy one that supports everything."""


def compiler_is_missing() -> bool:
    """Whether the library cannot be built here."""
    return shutil.which(COMPILER) is None or not HEADER.is_file()


def build(folder: Path, source: Path = SOURCE) -> Path:
    """Compile the library, or another source under its name, into this folder."""
    path = folder / NAME
    command = [
        COMPILER,
        "-std=c11",
        "-D_POSIX_C_SOURCE=200809L",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O1",
        "-fPIC",
        "-shared",
    ]
    subprocess.run([*command, f"-Wl,-soname,{NAME}", "-o", str(path), str(source)], check=True)
    return path


class NvmlState:
    """What the library says: numbers and texts by key, `error=…` and `hang=…` included."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.become(A_GPU)

    def become(self, state: Mapping[str, object]) -> None:
        """This is all that it says from now on."""
        self._values = dict(state)
        self._write()

    def set(self, **values: object) -> None:
        """These values change."""
        self._values |= values
        self._write()

    def remove(self, *keys: str) -> None:
        """These are supported no more; or the error, or the hanging, is over."""
        self._values = {key: value for key, value in self._values.items() if key not in keys}
        self._write()

    def environment(self, library: Path) -> dict[str, str]:
        """What a process that shall use the library has to find in its environment."""
        return {"LD_LIBRARY_PATH": str(library.parent), "FRAMEPILOT_NVML_STATE": str(self._path)}

    def _write(self) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_text("".join(f"{key}={value}\n" for key, value in self._values.items()))
        temporary.replace(self._path)
