"""From what NVML and the device thread said to what `/status` says of the device."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.observed import Device, DeviceUse, ObservedState, UtilizationSource
from framepilot_app.telemetry.device_use import (
    HANGS_AFTER_S,
    STALE_AFTER_S,
    THROTTLE_REASONS,
    BusyReading,
    BusyWindow,
    Readings,
    Watch,
    busy_share,
    device_use,
    throttle_reasons,
)

WHOLE = Readings(
    uuid="GPU-1",
    mig=False,
    utilization_percent=40,
    memory_used_bytes=6,
    memory_total_bytes=24,
    own_memory_bytes=2,
    temperature_celsius=61,
    power_mw=150_500,
    power_limit_mw=300_000,
    sm_clock_mhz=1410,
    memory_clock_mhz=5001,
    throttle_bits=0x5,
    ecc_corrected=3,
    ecc_uncorrected=0,
    last_xid=79,
)


def seen(readings: Readings | None = WHOLE, **fields) -> Watch:
    return Watch(readings, **{"read_at": 100.0, "read_unix": 5000.0, **fields})


def use(watch: Watch | None, *, own: float | None = 0.25, now: float = 100.5) -> DeviceUse:
    return device_use(watch, own, now=now, now_unix=5000.5)


def test_readings_are_given_in_base_units():
    assert use(seen()) == DeviceUse(
        source=UtilizationSource.NVML,
        at=5000.0,
        utilization=0.4,
        own=0.25,
        nvml=True,
        sample_age_s=0.5,
        uuid="GPU-1",
        mig=False,
        memory_used_bytes=6,
        memory_total_bytes=24,
        own_memory_bytes=2,
        temperature_celsius=61,
        power_watts=150.5,
        power_limit_watts=300,
        sm_clock_hertz=1_410_000_000,
        memory_clock_hertz=5_001_000_000,
        throttled=("sw_power_cap",),
        ecc_corrected=3,
        ecc_uncorrected=0,
        last_xid=79,
    )


def test_without_a_gpu_the_device_is_as_busy_as_its_thread():
    found = use(None)
    assert found == DeviceUse(source=UtilizationSource.DEVICE_THREAD, at=5000.5, utilization=0.25, own=0.25)


def test_what_is_not_supported_is_none_and_the_utilization_falls_back():
    found = use(seen(Readings(uuid="MIG-1", mig=True, memory_used_bytes=6)))
    assert (found.source, found.utilization, found.at) == (UtilizationSource.DEVICE_THREAD, 0.25, 5000.5)
    assert (found.nvml, found.error, found.memory_used_bytes, found.mig) == (True, None, 6, True)
    said = found.model_dump(exclude_none=True, by_alias=False)
    assert said.keys() == {
        "source", "at", "utilization", "own", "nvml", "sample_age_s", "uuid", "mig", "memory_used_bytes",
    }  # fmt: skip


def test_what_this_user_may_not_read_is_named_and_the_rest_is_there():
    found = use(seen(Readings(utilization_percent=10, denied=("power", "processes"))))
    assert found.error == "NVML does not permit this user to read: power, processes"
    assert (found.utilization, found.power_watts, found.nvml) == (0.1, None, True)


@pytest.mark.parametrize(
    ("watch", "now", "error"),
    [
        (Watch(), 100, "NVML is being asked for the first time"),
        (Watch(error="the driver is not loaded"), 100, "the driver is not loaded"),
        (seen(error="the GPU is lost"), 104, "the GPU is lost; its latest sample is 4 s old"),
        (seen(calling_since=101.0), 131, "NVML has not come back from a call for 30 s; its latest sample is 31 s old"),
        (Watch(calling_since=100.0), 110, "NVML has not come back from a call for 10 s"),
        (seen(), 100 + STALE_AFTER_S + 1, "NVML is not being asked; its latest sample is 6 s old"),
    ],
)
def test_without_a_fresh_sample_nothing_old_is_said_and_the_error_says_why(watch, now, error):
    found = use(watch, now=now)
    assert found.error == error
    assert (found.nvml, found.source, found.utilization) == (False, UtilizationSource.DEVICE_THREAD, 0.25)
    assert (found.memory_used_bytes, found.temperature_celsius, found.throttled) == (None, None, None)


def test_a_call_that_takes_its_time_does_not_hang_yet():
    assert use(seen(calling_since=101.0), now=101 + HANGS_AFTER_S).nvml is True


def test_a_utilization_that_makes_no_sense_stays_a_share():
    assert use(seen(Readings(utilization_percent=2**32 - 1))).utilization == 1


def test_a_bit_that_is_not_known_yet_is_another_reason():
    assert throttle_reasons(1) == ()
    assert throttle_reasons(1 << 40) == ("other",)
    assert throttle_reasons((1 << 40) | 0x48) == ("hw_slowdown", "hw_thermal_slowdown", "other")
    assert throttle_reasons(None) is None


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_there_is_an_end_of_reasons(bits):
    found = throttle_reasons(bits)
    assert found is not None
    assert set(found) <= {*THROTTLE_REASONS.values(), "other"}


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        (BusyReading(10, 3.0), BusyReading(12, 3.5), 0.25),
        (BusyReading(10, 3.0), BusyReading(12, 3.0), 0.0),
        (BusyReading(10, 3.0), BusyReading(11, 9.0), 1.0),  # a batch that began before
        (BusyReading(10, 3.0), BusyReading(10, 3.5), None),
        (BusyReading(10, 3.0), BusyReading(9, 3.5), None),
        (BusyReading(10, 3.0), BusyReading(12, 1.0), None),
    ],
)
def test_the_busy_share_of_a_span(before, after, share):
    assert busy_share(before, after) == share


def test_the_window_forgets_what_is_older_than_its_span():
    window = BusyWindow()
    assert window.share() is None
    for step in range(50):
        window.add(BusyReading(step * 0.25, 0.0 if step < 30 else (step - 29) * 0.125))
    assert window.share() == 0.5


def test_a_reader_of_the_status_passes_over_what_it_does_not_know():
    state = ObservedState(started_at=0, device=Device(device_class="cpu", name="cpu", use=use(seen())))
    newer = state.model_dump(mode="json")
    newer["colour"] = newer["device"]["colour"] = newer["device"]["use"]["colour"] = "red"
    newer["frames"]["colour"] = "red"
    assert ObservedState.model_validate(newer) == state
