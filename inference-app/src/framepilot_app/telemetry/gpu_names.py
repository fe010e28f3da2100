"""Which of NVML's devices is the one that torch computes on: the names to try, the best first. Pure.

CUDA numbers devices in another order than NVML, and `CUDA_VISIBLE_DEVICES` leaves some out, so a number of one is none
of the other. A MIG instance goes by its own UUID where it is known; else the GPU that it is a part of is watched.
"""

from __future__ import annotations

import re
from typing import Final

AUTO: Final = "auto"
NONE: Final = "none"
PCI_BUS_ID: Final = re.compile(r"([0-9a-f]{4}|[0-9a-f]{8}):[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]", re.IGNORECASE)
UUID: Final = re.compile(r"(GPU|MIG)-[0-9a-f-]+", re.IGNORECASE)
INDEX: Final = re.compile(r"[0-9]{1,4}")


def is_gpu_name(name: str) -> bool:
    """Whether NVML could know a device by it: an index, a UUID, or a PCI bus id."""
    return any(form.fullmatch(name) for form in (INDEX, UUID, PCI_BUS_ID))


def gpu_names(visible: str | None, index: int, uuid: str) -> tuple[str, ...]:
    """Names of torch's device number `index`; `visible` is `CUDA_VISIBLE_DEVICES`, `uuid` has no prefix."""
    entries = [entry.strip() for entry in (visible or "").split(",")]
    chosen = entries[index : index + 1]
    # A process that computes on a MIG instance may be told the instance's UUID as its device's.
    return (*(entry for entry in chosen if entry.startswith("MIG-")), f"GPU-{uuid}", f"MIG-{uuid}")
