"""How the device is used, worked out from what was read of it. Pure: who reads is `nvml.py` and the device thread.

A device that NVML says nothing of, for it is no GPU, is not supported or has gone silent, is as busy as the device
thread is: the same field, and its source says which of the two it is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from framepilot.contract.observed import DeviceUse, UtilizationSource

STALE_AFTER_S: Final = 5.0
"""A sample that is older than this says nothing of now; one is taken every second."""

HANGS_AFTER_S: Final = 3.0
"""A call of NVML takes milliseconds; one that takes longer than this hangs."""

BUSY_SPAN_S: Final = 1.0
"""Over how long the busy share is taken, at least: as long as the driver's own."""

THROTTLE_REASONS: Final = {
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}
"""`nvmlClocksEventReasons` of nvml.h. Bit 1 is left out: an idle GPU lowers its clocks, and nothing throttles it."""

IDLE_BIT: Final = 0x001
OTHER_REASON: Final = "other"
"""A bit that a newer driver sets, so that there is no end of names."""

MEGA: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class BusyReading:
    """Seconds in which the device ran batches, until a monotonic time."""

    at: float
    busy_s: float


def busy_share(before: BusyReading, after: BusyReading) -> float | None:
    """Share of the time between two readings in which the device ran batches; None if they do not say.

    A batch is counted when it ends, so the share of a short span can come out above 1: then it is 1.
    """
    passed_s, busy_s = after.at - before.at, after.busy_s - before.busy_s
    if passed_s <= 0 or busy_s < 0:
        return None
    return min(1.0, busy_s / passed_s)


class BusyWindow:
    """The latest readings of the device thread. Used by one thread."""

    def __init__(self) -> None:
        self._readings: deque[BusyReading] = deque()

    def add(self, reading: BusyReading) -> None:
        """Take a reading, and forget those that are no longer needed."""
        self._readings.append(reading)
        while len(self._readings) > 2 and reading.at - self._readings[1].at >= BUSY_SPAN_S:
            self._readings.popleft()

    def share(self) -> float | None:
        """The busy share over the span; None before the second reading."""
        return busy_share(self._readings[0], self._readings[-1]) if len(self._readings) > 1 else None


@dataclass(frozen=True, slots=True)
class Readings:
    """What NVML said at one moment, in its own units; what is not supported is None. `denied` is what it kept back."""

    uuid: str | None = None
    mig: bool | None = None
    utilization_percent: int | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    own_memory_bytes: int | None = None
    temperature_celsius: int | None = None
    power_mw: int | None = None
    power_limit_mw: int | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    throttle_bits: int | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    last_xid: int | None = None
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of NVML: the latest readings and when they were taken, why there are none now, and since when a
    call goes on. `read_at` and `calling_since` are monotonic, `read_unix` is Unix time, all in seconds.
    """

    readings: Readings | None = None
    read_at: float = 0.0
    read_unix: float = 0.0
    error: str | None = None
    calling_since: float | None = None


def device_use(watch: Watch | None, own: float | None, now: float, now_unix: float) -> DeviceUse:
    """How the device is used now. `watch` is None where there is no GPU to watch, `own` is the busy share."""
    if watch is None:
        return DeviceUse(source=UtilizationSource.DEVICE_THREAD, at=now_unix, utilization=own, own=own)
    age_s = None if watch.readings is None else max(0.0, now - watch.read_at)
    silence = _silence(watch, age_s, now)
    if silence is not None or watch.readings is None:
        return DeviceUse(
            source=UtilizationSource.DEVICE_THREAD,
            at=now_unix,
            utilization=own,
            own=own,
            nvml=False,
            sample_age_s=age_s,
            error=silence,
            # It is the same GPU still; others may know how it is used.
            uuid=watch.readings and watch.readings.uuid,
        )
    return _said(watch.readings, own, watch.read_unix, now_unix, age_s)


def _silence(watch: Watch, age_s: float | None, now: float) -> str | None:
    """Why NVML cannot be relied on now; None if it can."""
    if watch.calling_since is not None and now - watch.calling_since > HANGS_AFTER_S:
        reason = f"NVML has not come back from a call for {now - watch.calling_since:.0f} s"
    elif watch.error is not None:
        reason = watch.error
    elif age_s is None:
        reason = "NVML is being asked for the first time"
    elif age_s > STALE_AFTER_S:
        reason = "NVML is not being asked"
    else:
        return None
    return reason if age_s is None else f"{reason}; its latest sample is {age_s:.0f} s old"


def _said(readings: Readings, own: float | None, at: float, now_unix: float, age_s: float | None) -> DeviceUse:
    percent = readings.utilization_percent
    from_nvml = percent is not None
    denied = f"NVML does not permit this user to read: {', '.join(readings.denied)}" if readings.denied else None
    return DeviceUse(
        source=UtilizationSource.NVML if from_nvml else UtilizationSource.DEVICE_THREAD,
        at=at if from_nvml else now_unix,
        utilization=own if percent is None else min(max(percent, 0), 100) / 100,
        own=own,
        nvml=True,
        sample_age_s=age_s,
        error=denied,
        uuid=readings.uuid,
        mig=readings.mig,
        memory_used_bytes=readings.memory_used_bytes,
        memory_total_bytes=readings.memory_total_bytes,
        own_memory_bytes=readings.own_memory_bytes,
        temperature_celsius=readings.temperature_celsius,
        power_watts=_scaled(readings.power_mw, 0.001),
        power_limit_watts=_scaled(readings.power_limit_mw, 0.001),
        sm_clock_hertz=_scaled(readings.sm_clock_mhz, MEGA),
        memory_clock_hertz=_scaled(readings.memory_clock_mhz, MEGA),
        throttled=throttle_reasons(readings.throttle_bits),
        ecc_corrected=readings.ecc_corrected,
        ecc_uncorrected=readings.ecc_uncorrected,
        last_xid=readings.last_xid,
    )


def throttle_reasons(bits: int | None) -> tuple[str, ...] | None:
    """The names of the reasons in NVML's mask."""
    if bits is None:
        return None
    names = tuple(name for bit, name in THROTTLE_REASONS.items() if bits & bit)
    known = sum(THROTTLE_REASONS) | IDLE_BIT
    return (*names, OTHER_REASON) if bits & ~known else names


def _scaled(value: int | None, factor: float) -> float | None:
    return None if value is None else value * factor
