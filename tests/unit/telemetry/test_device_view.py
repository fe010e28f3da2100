"""One view of a device: which source is believed, and what is said where they are missing, old or disagree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.observed import DeviceUse, UtilizationSource
from framepilot_operator.telemetry.device_view import AHEAD_S, FRESH_S, DeviceView, Said, Value, device_views
from framepilot_operator.telemetry.measurement import Measurement, Origin, Quantity

NOW = 1000.0
GPU = "GPU-1"
GIB = 2**30
USE = DeviceUse(
    source=UtilizationSource.NVML,
    at=NOW,
    utilization=0.9,
    own=0.4,
    nvml=True,
    sample_age_s=0.5,
    uuid=GPU,
    memory_used_bytes=6 * GIB,
    memory_total_bytes=24 * GIB,
)


def said(instance: str = "shop/door", at: float = NOW, **changes: object) -> Said:
    return Said(instance, USE.model_copy(update=changes), at)


def dcgm(
    value: float | None, quantity: Quantity = Quantity.UTILIZATION, at: float = NOW, uuid: str = GPU
) -> Measurement:
    return Measurement(uuid, quantity, value, at, Origin.DCGM, "node-a", pod="shop/door-1")


def view(*measured: Measurement, of: Said | None = None) -> DeviceView:
    instance = of or said()
    return device_views([instance], measured, NOW)[instance.instance]


def test_each_value_has_its_source_and_age():
    found = view()
    assert found.utilization == Value(0.9, "NVML (shop/door)", 0.5)
    assert found.memory_used is not None
    assert found.memory_used.value == 6 * GIB
    assert Quantity.POWER not in found.values


def test_what_is_not_ours_is_the_rest():
    found = view()
    assert found.others is not None
    assert found.others.value == pytest.approx(0.5)


def test_instances_of_one_gpu_share_a_view_and_what_is_ours_is_their_sum():
    views = device_views([said("shop/door"), said("shop/yard", own=0.3)], (), NOW)
    assert views["shop/door"] == views["shop/yard"]
    assert views["shop/door"].own is not None
    assert views["shop/door"].own.value == pytest.approx(0.7)


def test_an_instance_on_another_gpu_or_on_none_has_a_view_of_its_own():
    cpu = DeviceUse(source=UtilizationSource.DEVICE_THREAD, at=NOW, utilization=0.2, own=0.2)
    views = device_views([said(), said("shop/yard", uuid="GPU-2", own=0.1), Said("shop/roof", cpu, NOW)], (), NOW)
    assert [each.own and each.own.value for each in views.values()] == [0.4, 0.1, 0.2]


def test_without_a_driver_a_device_is_as_busy_as_its_instances_and_nothing_is_said_of_others():
    cpu = DeviceUse(source=UtilizationSource.DEVICE_THREAD, at=NOW, utilization=0.2, own=0.2)
    found = view(of=Said("shop/door", cpu, NOW))
    assert found.utilization is not None
    assert (found.utilization.value, found.utilization.source) == (0.2, "device thread (shop/door)")
    assert found.others is None


def test_where_nvml_is_silent_the_exporter_is_believed():
    found = view(dcgm(0.7, at=NOW - 3), of=said(nvml=False, source=UtilizationSource.DEVICE_THREAD, utilization=0.4))
    assert found.utilization is not None
    assert (found.utilization.value, found.utilization.source, found.utilization.age_s) == (
        0.7,
        "DCGM exporter (node-a)",
        3,
    )
    assert found.others is not None
    assert found.others.value == pytest.approx(0.3)
    assert found.pods == ("shop/door-1",)


def test_sources_that_differ_are_said_and_the_more_direct_is_taken():
    found = view(dcgm(0.2))
    assert found.utilization is not None
    assert found.utilization.value == 0.9
    assert found.doubts == ("utilization: NVML (shop/door) says 90%, DCGM exporter (node-a) 20%; the former is taken",)


@pytest.mark.parametrize(
    "measured",
    [
        dcgm(0.7),
        dcgm(0.2, at=NOW - 10),  # so long ago it may have been true
        dcgm(6.5 * GIB, Quantity.MEMORY_USED),
        dcgm(300.0, Quantity.POWER),
        dcgm(0.2, uuid="GPU-2"),
    ],
)
def test_sources_that_agree_leave_no_doubt(measured: Measurement):
    assert view(measured).doubts == ()


def test_an_instance_that_has_not_been_heard_for_long_says_nothing():
    found = view(of=said(at=NOW - 40))
    assert found.utilization is None
    assert (found.own, found.others) == (None, None)
    assert "NVML (shop/door): what it says is 40 s old" in found.doubts


def test_a_silent_instance_leaves_its_gpu_to_the_exporter_and_what_is_not_ours_unknown():
    found = view(dcgm(0.7), of=said(at=NOW - 40))
    assert found.utilization is not None
    assert found.utilization.value == 0.7
    assert found.others is None


@pytest.mark.parametrize(
    ("measured", "doubt"),
    [
        (dcgm(0.7, at=NOW - 60), "DCGM exporter (node-a): what it says is 60 s old"),
        (dcgm(0.7, at=NOW + 99), "DCGM exporter (node-a): its clock is 99 s ahead of this one, so it is not believed"),
        (dcgm(None), "DCGM exporter (node-a): what it says of utilization is no number that can be"),
    ],
)
def test_what_cannot_be_believed_is_not_and_is_said(measured: Measurement, doubt: str):
    silent = said(nvml=False, source=UtilizationSource.DEVICE_THREAD, utilization=0.4)
    found = view(measured, of=silent)
    assert found.doubts == (doubt,)
    assert found.utilization is not None
    assert found.utilization.source == "device thread (shop/door)"


def test_of_two_series_of_one_source_the_newer_is_taken():
    silent = said(nvml=False, source=UtilizationSource.DEVICE_THREAD)
    found = view(dcgm(0.1, at=NOW - 9), dcgm(0.6, at=NOW - 1), of=silent)
    assert found.utilization is not None
    assert found.utilization.value == 0.6


measurements = st.builds(
    Measurement,
    uuid=st.sampled_from([GPU, "GPU-2"]),
    quantity=st.sampled_from(Quantity),
    value=st.none() | st.floats(0, 1),
    at=st.floats(NOW - 100, NOW + 100),
    origin=st.sampled_from(Origin),
    by=st.sampled_from(["a", "b"]),
)


@given(st.lists(measurements, max_size=20), st.floats(NOW - 100, NOW + 100))
def test_a_view_has_only_what_a_source_said_of_late_whatever_the_sources_say(measured: list[Measurement], at: float):
    found = view(*measured, of=said(at=at))
    told = {(each.quantity, each.value) for each in (*measured, *said(at=at).measurements())}
    for quantity, value in found.values.items():
        assert 0 <= value.age_s <= FRESH_S
        assert (quantity, value.value) in told or value == found.own
    for value in (found.own, found.others):
        assert value is None or (0 <= value.value <= 1 and 0 <= value.age_s <= FRESH_S)


@given(st.lists(measurements, max_size=10, unique_by=lambda each: (each.at, each.origin, each.by)), st.randoms())
def test_the_order_in_which_sources_are_read_changes_no_value(measured: list[Measurement], random):
    shuffled = random.sample(measured, len(measured))
    assert view(*measured).values == view(*shuffled).values


@given(st.lists(measurements, max_size=10), st.floats(AHEAD_S + 1, 1e6))
def test_what_is_of_the_future_adds_nothing(measured: list[Measurement], ahead_s: float):
    late = [replace(each, at=NOW + ahead_s) for each in measured]
    assert view(*late).values == view().values
