from __future__ import annotations

from framepilot.contract.desired import Engine
from framepilot.contract.observed import Device, ObservedModule, ObservedState, ProfilePoint
from framepilot.resources.meta import ObjectMeta
from framepilot.resources.parse import parse_resource
from framepilot.resources.profile import ModelProfile
from framepilot.resources.service import InferenceService
from framepilot_operator.planning.measured import profiles_in_force, unrecorded
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


def on_engine(engine: str | None, *sizes: int, ms: float = 1.0) -> ObservedModule:
    found = tuple(ProfilePoint(batch=size, p50_ms=ms * size, p99_ms=2 * ms * size) for size in sizes)
    return module().model_copy(update={"profile": found, "engine": engine})


def test_a_measurement_of_another_engine_is_recorded_beside_the_first_and_each_once():
    (torch,) = unrecorded("cameras", state(on_engine("torch", 1, 4)), [])
    (openvino,) = unrecorded("cameras", state(on_engine("openvino", 1, 4)), [torch])
    assert (torch.spec.engine, openvino.spec.engine) == ("torch", "openvino")
    assert torch.key != openvino.key
    for engine in ("torch", "openvino"):
        assert not list(unrecorded("cameras", state(on_engine(engine, 1, 4)), [torch, openvino]))


def with_engine(engine: str) -> InferenceService:
    service = resource()
    (only,) = service.spec.modules
    chosen = only.model_copy(update={"model": only.model.model_copy(update={"engine": Engine(engine)})})
    return service.model_copy(update={"spec": service.spec.model_copy(update={"modules": (chosen,)})})


def test_before_it_measured_the_profile_of_its_engine_counts_and_of_any_engine_the_fastest():
    (slow,) = unrecorded("cameras", state(on_engine("torch", 1, 4, ms=3)), [])
    (fast,) = unrecorded("cameras", state(on_engine("openvino", 1, 4, ms=2)), [])
    kept = [slow, fast]
    for engine, ms in (("torch", 3), ("openvino", 2), ("auto", 2)):
        found = profiles_in_force(with_engine(engine), UID, state(module()), kept)
        assert found[SERVICE, "face"].typical_ms(1) == ms
    assert not profiles_in_force(with_engine("onnxruntime"), UID, state(module()), kept)
    # A person's that names no engine counts for every one, and before what was measured.
    by_hand = profiles_in_force(with_engine("torch"), UID, state(module()), [declared_profile(), *kept])
    assert by_hand[SERVICE, "face"].typical_ms(1) == 12.5


def test_what_is_measured_is_told_from_what_a_person_wrote_and_does_not_write_over_it():
    (measured,) = unrecorded("cameras", state(measuring(1, 4)), [])
    assert measured.measured
    assert not declared_profile().measured
    theirs = measured.model_copy(update={"metadata": ObjectMeta(name=measured.metadata.name, namespace="cameras")})
    assert not list(unrecorded("cameras", state(measuring(1, 4, 32)), [theirs]))


def test_instances_with_other_sizes_do_not_write_over_each_other_in_turns():
    (first,) = unrecorded("cameras", state(measuring(1, 4, 6)), [])
    (second,) = unrecorded("cameras", state(measuring(1, 4, 8)), [first])
    assert [point.batch for point in second.spec.points] == [1, 4, 6, 8]
    assert not list(unrecorded("cameras", state(measuring(1, 4, 6)), [second]))


def test_device_classes_that_begin_alike_have_profiles_of_their_own():
    names = {
        profile.key
        for name in ("NVIDIA GeForce RTX 4080", "NVIDIA GeForce RTX 4090")
        for profile in unrecorded("cameras", state(measuring(1), name), [])
    }
    assert len(names) == 2


def test_a_product_name_becomes_a_device_class():
    assert state(module(), "NVIDIA H100 80GB HBM3").device.plain_class == "nvidia-h100-80gb-hbm3"
    (profile,) = unrecorded("cameras", state(measuring(1), "NVIDIA H100 80GB HBM3"), [])
    assert profile.spec.device_class == "nvidia-h100-80gb-hbm3"
