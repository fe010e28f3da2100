"""A program compiled by AOTInductor: a shared library for this processor and this torch, on so many threads."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
from pathlib import Path
from typing import Final

import torch

from framepilot_app.graphs.program_form import ProgramForm

_CPUINFO: Final = Path("/proc/cpuinfo")
_FEATURES: Final = ("flags", "Features")
"""How Linux calls what a processor can do, on x86 and on ARM."""


def _missing() -> str | None:
    """AOTInductor writes C++; it takes the compiler that `CXX` names."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is not None:
        return None
    return f"there is no C++ compiler '{compiler}'; install one (Debian: apt install g++), or name it in CXX"


def _variant() -> str:
    return f"{torch.__version__}-{_processor()}-{torch.get_num_threads()}"


@functools.cache
def _processor() -> str:
    """A digest of what the processor can do: the library may use all of it."""
    lines = _CPUINFO.read_text(encoding="utf-8").splitlines() if _CPUINFO.is_file() else []
    features = next((line for line in lines if line.startswith(_FEATURES)), platform.processor())
    return hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:16]


AOT_INDUCTOR: Final = ProgramForm(
    name="AOTInductor",
    suffix=".so",
    number=1,
    writer="framepilot_app.graphs.aot_writer",
    limit_s=900.0,
    missing=_missing,
    variant=_variant,
)
