"""What the series of a Prometheus server measure, by their names and labels."""

from __future__ import annotations

import json
import math

import pytest

from framepilot_operator.telemetry.device_samples import measurements
from framepilot_operator.telemetry.measurement import Origin, Quantity
from framepilot_operator.telemetry.prometheus_answer import AnswerError, Sample, samples

GPU = "GPU-1"


def dcgm(name: str, value: float, at: float = 10.0, **labels: str) -> Sample:
    own = {"__name__": f"DCGM_FI_DEV_{name}", "UUID": GPU, "Hostname": "node-a", "gpu": "0"}
    return Sample({**own, **labels}, at, value)


def ours(name: str, value: float, at: float = 10.0, instance: str = "shop/door-1", **labels: str) -> Sample:
    return Sample({"__name__": f"framepilot_device_{name}", "instance": instance, **labels}, at, value)


INFO = ours("info", 1, uuid=GPU)


def values(*found: Sample) -> dict[Quantity, float | None]:
    return {each.quantity: each.value for each in measurements(found)}


def test_the_exporters_values_are_in_our_units():
    assert values(
        dcgm("GPU_UTIL", 40),
        dcgm("FB_USED", 1024),
        dcgm("FB_FREE", 3072),
        dcgm("GPU_TEMP", 61),
        dcgm("POWER_USAGE", 70.5),
        dcgm("SM_CLOCK", 1410),
        dcgm("XID_ERRORS", 79),
    ) == {
        Quantity.UTILIZATION: 0.4,
        Quantity.MEMORY_USED: 2**30,
        Quantity.MEMORY_TOTAL: 4 * 2**30,
        Quantity.TEMPERATURE: 61,
        Quantity.POWER: 70.5,
        Quantity.SM_CLOCK: 1_410_000_000,
        Quantity.LAST_XID: 79,
    }


def test_half_the_series_give_half_the_values():
    assert values(dcgm("FB_FREE", 3072), dcgm("GPU_TEMP", 61), dcgm("XID_ERRORS", 0)) == {Quantity.TEMPERATURE: 61}


def test_an_instances_series_belong_to_the_gpu_that_it_names():
    (found,) = measurements((INFO, ours("memory_used_bytes", 5), ours("memory_used_bytes", 7, instance="other")))
    assert (found.uuid, found.value, found.origin, found.by) == (GPU, 5, Origin.SCRAPED, "shop/door-1")


def test_a_share_of_the_device_thread_is_not_the_drivers_word():
    thread = ours("utilization_ratio", 0.2, source="device thread")
    assert values(INFO, thread) == {}
    assert values(INFO, thread, ours("utilization_ratio", 0.5, source="nvml")) == {Quantity.UTILIZATION: 0.5}


def test_an_instance_that_restarted_on_another_gpu_is_on_the_newer():
    moved = ours("info", 1, at=20, uuid="GPU-2")
    (found,) = measurements((moved, INFO, ours("memory_used_bytes", 5, at=20)))
    assert found.uuid == "GPU-2"


def test_a_part_of_a_gpu_is_not_taken_for_the_whole():
    assert values(dcgm("FB_USED", 1024, GPU_I_ID="1", GPU_I_PROFILE="1g.10gb")) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, 101])
def test_a_share_that_cannot_be_is_no_number(value: float):
    assert values(dcgm("GPU_UTIL", value)) == {Quantity.UTILIZATION: None}


@pytest.mark.parametrize(
    ("labels", "pod"),
    [
        ({"pod": "door-1", "namespace": "shop", "container": "inference-app"}, "shop/door-1"),
        (
            {"pod": "dcgm-x", "namespace": "gpu", "exported_pod": "door-1", "exported_namespace": "shop"},
            "shop/door-1",
        ),
        ({}, None),
    ],
)
def test_the_pod_that_holds_a_gpu_is_named_whether_or_not_labels_are_honored(labels: dict[str, str], pod: str | None):
    (found,) = measurements((dcgm("GPU_UTIL", 40, **labels),))
    assert found.pod == pod


def test_the_exporters_own_pod_holds_no_gpu():
    held = dcgm("GPU_UTIL", 40, pod="dcgm-x", namespace="gpu", exported_pod="door-1", exported_namespace="shop")
    free = dcgm("GPU_UTIL", 0, pod="dcgm-x", namespace="gpu", UUID="GPU-2")
    assert [each.pod for each in measurements((held, free))] == ["shop/door-1", None]


def answer(*values: object) -> bytes:
    series = {"metric": {"__name__": "up"}, "values": list(values)}
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [series]}}).encode()


def test_the_latest_sample_of_a_series_counts_with_the_time_at_which_it_was_taken():
    (found,) = samples(answer([1.5, "3"], [2.5, "NaN"]))
    assert (found.labels, found.at) == ({"__name__": "up"}, 2.5)
    assert math.isnan(found.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html><title>Log in</title>", "not of Prometheus' API; it begins: '<html>"),
        (b"", "not of Prometheus' API"),
        (b'{"status":"error","errorType":"timeout","error":"query timed out"}', "it answers error: query timed out"),
        (b'{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}', "not of Prometheus' API"),
        (answer([1.0, "many"]), "a sample is no number"),
        (b"[" * 100_000, "not of Prometheus' API"),
        (b"\xff\xfe", "not of Prometheus' API"),
    ],
)
def test_what_is_no_answer_is_refused_with_what_it_is(body: bytes, message: str):
    with pytest.raises(AnswerError, match=message):
        samples(body)
