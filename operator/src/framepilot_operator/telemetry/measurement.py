"""One number that one source said of one device at one moment: what every source is brought to before it is merged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Quantity(StrEnum):
    """What is measured. Shares of time are in 0..1, the others in bytes, degrees Celsius, watts and hertz."""

    UTILIZATION = "utilization"
    MEMORY_USED = "memory used"
    MEMORY_TOTAL = "memory"
    TEMPERATURE = "temperature"
    POWER = "power"
    SM_CLOCK = "clock"
    LAST_XID = "latest Xid error"


class Origin(StrEnum):
    """Where it comes from, the one that is believed first standing first: the fewer hands it went through, the newer.

    All of them pass on what the driver says. What an instance knows without it, how long its own batches took, is not
    among them.
    """

    NVML = "NVML"  # an instance asked, and says so on /status
    DCGM = "DCGM exporter"  # by way of Prometheus
    SCRAPED = "Prometheus"  # /metrics of an instance, by way of Prometheus


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number, of the device of this UUID, taken `at` Unix seconds. `value` None: what was said is no usable number.

    `by` is the instance or the node that it was read on. `pod` is the `<namespace>/<name>` that holds the device, where
    the source says so.
    """

    uuid: str
    quantity: Quantity
    value: float | None
    at: float
    origin: Origin
    by: str
    pod: str | None = None

    @property
    def source(self) -> str:
        """The source for a person."""
        return f"{self.origin.value} ({self.by})" if self.by else self.origin.value
