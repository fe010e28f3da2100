from __future__ import annotations

from framepilot.contract.observed import Device, ObservedModule, ObservedState, ProfilePoint
from framepilot.resources.parse import parse_resource
from framepilot.resources.profile import ModelProfile
from framepilot_operator.planning.measured import device_class_of, profiles_in_force, unrecorded
from support.resources import profile_document
from support.snapshots import SERVICE, UID, module, observed, resource


def points(*sizes: int) -> tuple[ProfilePoint, ...]:
    return tuple(ProfilePoint(batch=size, p50_ms=size, p99_ms=2 * size) for size in sizes)


def measuring(*sizes: int) -> ObservedModule:
    return module().model_copy(update={"profile": points(*sizes)})


def state(found: ObservedModule, device_class: str = "cpu") -> ObservedState:
    return observed(modules=[found]).model_copy(update={"device": Device(device_class=device_class, name="x")})


def declared_profile() -> ModelProfile:
    found = parse_resource(profile_document(), "test")
    assert isinstance(found, ModelProfile)
    return found


def test_what_the_instance_measured_comes_first():
    found = profiles_in_force(resource(), UID, state(measuring(1, 4)), [declared_profile()])
    assert found[SERVICE, "face"].largest == 4


def test_before_it_measured_a_resource_counts():
    found = profiles_in_force(resource(), UID, state(module()), [declared_profile()])
    assert found[SERVICE, "face"].largest == 8


def test_a_resource_of_another_device_version_or_digest_does_not_count():
    other = declared_profile().spec.model_copy(update={"sha256": "b" * 64})
    assert not profiles_in_force(resource(), UID, state(module(), "nvidia-t4"), [declared_profile()])
    assert not profiles_in_force(resource(), UID, state(module(version="2")), [declared_profile()])
    assert not profiles_in_force(
        resource(), UID, state(module()), [declared_profile().model_copy(update={"spec": other})]
    )


def test_a_measurement_is_recorded_once():
    (first,) = unrecorded("cameras", state(measuring(1, 4)), [])
    assert (first.spec.model, first.spec.version, first.spec.device_class) == ("centerface", "1", "cpu")
    assert [(point.batch, point.p50, point.p99) for point in first.spec.points] == [
        (1, "1ms", "2ms"),
        (4, "4ms", "8ms"),
    ]
    assert not list(unrecorded("cameras", state(measuring(1, 4)), [first]))
    assert not list(unrecorded("cameras", state(measuring(1, 8)), [declared_profile()]))


def test_a_measurement_of_more_sizes_replaces_the_one_before():
    (first,) = unrecorded("cameras", state(measuring(1, 4)), [])
    (second,) = unrecorded("cameras", state(measuring(1, 4, 32)), [first])
    assert second.key == first.key


def test_a_product_name_becomes_a_device_class():
    assert device_class_of(state(module(), "NVIDIA H100 80GB HBM3")) == "nvidia-h100-80gb-hbm3"
    (profile,) = unrecorded("cameras", state(measuring(1), "NVIDIA H100 80GB HBM3"), [])
    assert profile.spec.device_class == "nvidia-h100-80gb-hbm3"
