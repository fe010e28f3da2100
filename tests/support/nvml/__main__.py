"""`python -m support.nvml` installs the compiler that builds the library (`make servers`)."""

from __future__ import annotations

import sys

from support.debian import provide
from support.nvml.library import PACKAGES, compiler_is_missing

if __name__ == "__main__":
    sys.exit(provide(PACKAGES, compiler_is_missing, "tests with an NVML are skipped"))
