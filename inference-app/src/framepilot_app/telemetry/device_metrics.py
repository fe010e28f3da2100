"""The device on `/metrics`. What is not supported has no sample: a 0 would be read as a measurement."""

from __future__ import annotations

from collections.abc import Iterator

from framepilot.contract import metrics as names
from framepilot.contract.observed import Device, DeviceUse
from framepilot_app.telemetry.device_use import OTHER_REASON, THROTTLE_REASONS
from framepilot_app.telemetry.families import Family, counter, gauge, info, measured


def device_metrics(device: Device) -> Iterator[Family]:
    """The device and how it is used."""
    use = device.use
    described = info(names.DEVICE_INFO)
    uuid = (use and use.uuid) or ""
    described.add_metric([], {"device_class": device.device_class, "device": device.name, "uuid": uuid})
    yield described
    yield from _memory(device)
    if use is not None:
        yield from _use(use)


def _memory(device: Device) -> Iterator[Family]:
    limit, used = gauge(names.MEMORY_LIMIT), gauge(names.MEMORY_USED)
    headroom, loading = gauge(names.MEMORY_HEADROOM), gauge(names.MEMORY_LOADING)
    for memory in device.memory:
        key = [memory.kind.value]
        limit.add_metric(key, memory.limit_bytes)
        used.add_metric(key, memory.used_bytes)
        headroom.add_metric(key, memory.headroom_bytes)
        loading.add_metric(key, memory.loading_bytes)
    yield from (limit, used, headroom, loading)


def _use(use: DeviceUse) -> Iterator[Family]:
    utilization = gauge(names.DEVICE_UTILIZATION)
    if use.utilization is not None:
        utilization.add_metric([use.source.value], use.utilization)
    yield utilization
    yield measured(names.DEVICE_OWN_UTILIZATION, use.own)
    yield measured(names.DEVICE_MEMORY_USED, use.memory_used_bytes)
    yield measured(names.DEVICE_MEMORY_TOTAL, use.memory_total_bytes)
    yield measured(names.DEVICE_OWN_MEMORY, use.own_memory_bytes)
    yield measured(names.DEVICE_TEMPERATURE, use.temperature_celsius)
    yield measured(names.DEVICE_POWER, use.power_watts)
    yield measured(names.DEVICE_POWER_LIMIT, use.power_limit_watts)
    yield _clocks(use)
    yield _throttled(use)
    yield _ecc_errors(use)
    yield measured(names.DEVICE_LAST_XID, use.last_xid)
    yield measured(names.DEVICE_MIG, use.mig)
    yield measured(names.DEVICE_TELEMETRY_UP, use.nvml)
    yield measured(names.DEVICE_TELEMETRY_AGE, use.sample_age_s)


def _clocks(use: DeviceUse) -> Family:
    family = gauge(names.DEVICE_CLOCK)
    for clock, hertz in (("sm", use.sm_clock_hertz), ("memory", use.memory_clock_hertz)):
        if hertz is not None:
            family.add_metric([clock], hertz)
    return family


def _throttled(use: DeviceUse) -> Family:
    family = gauge(names.DEVICE_THROTTLED)
    if use.throttled is not None:
        for reason in (*THROTTLE_REASONS.values(), OTHER_REASON):
            family.add_metric([reason], reason in use.throttled)
    return family


def _ecc_errors(use: DeviceUse) -> Family:
    family = counter(names.DEVICE_ECC_ERRORS)
    for kind, count in (("corrected", use.ecc_corrected), ("uncorrected", use.ecc_uncorrected)):
        if count is not None:
            family.add_metric([kind], count)
    return family
