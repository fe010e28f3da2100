"""What `/metrics` says of a state."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from framepilot.contract import metrics as names
from framepilot.contract.observed import (
    Device,
    FrameCounts,
    ObservedModule,
    ObservedPipeline,
    ObservedSink,
    ObservedStage,
    ObservedState,
    ObservedStream,
    ParameterBytes,
    ServingModel,
)
from framepilot.rollouts.state import RolloutState
from framepilot_app.frames import DropReason
from framepilot_app.sinks.outbox import Loss
from framepilot_app.telemetry.metrics import Failures, StateCollector

SERVICE = "tests/door"
MODULE = {"service": SERVICE, "module": "m"}


def module(**fields) -> ObservedModule:
    batch = {"size": 4, "max_wait_ms": 5, "since": 0}
    return ObservedModule.model_validate({"service": SERVICE, "name": "m", "model": "tiny", "batch": batch, **fields})


def scraped(**fields) -> CollectorRegistry:
    """What a scrape of an instance in this state gives."""
    state = ObservedState(started_at=0, device=Device(device_class="cpu", name="2 cores"), **fields)
    registry = CollectorRegistry()
    registry.register(StateCollector(lambda: state, lambda: 0.0, lambda: Failures(threads={}, tasks=0)))
    return registry


def test_the_objective_of_a_service_is_in_seconds() -> None:
    pipelines = (ObservedPipeline(service=SERVICE, uid="u", objective_ms=250), ObservedPipeline(service="a/b", uid="v"))
    registry = scraped(pipelines=pipelines)
    assert registry.get_sample_value(names.OBJECTIVE.name, {"service": SERVICE}) == 0.25
    assert registry.get_sample_value(names.OBJECTIVE.name, {"service": "a/b"}) is None


def test_each_reason_of_a_drop_is_counted_from_zero() -> None:
    frames = FrameCounts(ingested=3, dropped={"late": 3})
    stream = ObservedStream(service=SERVICE, name="s", source="test://1x1", state="running", frames=frames)
    sink = ObservedSink(service=SERVICE, name="k", type="webhook", state="connected", dropped={"http-400": 2})
    registry = scraped(streams=(stream,), sinks=(sink,))

    def counted(name: str, reason: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"service": SERVICE, "reason": reason, **labels})

    drops = {reason: counted(names.FRAMES_DROPPED.name, reason, stream="s") for reason in DropReason}
    assert drops == {reason: 3 if reason is DropReason.LATE else 0 for reason in DropReason}
    losses = {reason: counted(names.SINK_DROPPED.name, reason, sink="k") for reason in (*Loss, "http-400")}
    assert losses == {**dict.fromkeys(Loss, 0), "http-400": 2}


def test_a_module_serves_when_it_has_a_version() -> None:
    serving = ServingModel(version="1", sha256="0" * 64)
    assert scraped(modules=(module(),)).get_sample_value(names.MODULE_SERVING.name, MODULE) == 0
    assert scraped(modules=(module(serving=serving),)).get_sample_value(names.MODULE_SERVING.name, MODULE) == 1


def test_what_a_time_limit_leaves_a_module_has_no_sample_where_there_is_none() -> None:
    stopped = module(time_limit={"limit_ms": 100, "size": 0, "over": 7, "reason": "it is slow"})
    registry = scraped(modules=(stopped,))
    assert registry.get_sample_value(names.MODULE_TIME_LIMIT_ITEMS.name, MODULE) == 0
    assert registry.get_sample_value(names.MODULE_OVER_TIME_LIMIT.name, MODULE) == 7
    for each in (names.MODULE_TIME_LIMIT_ITEMS, names.MODULE_OVER_TIME_LIMIT):
        assert scraped(modules=(module(),)).get_sample_value(each.name, MODULE) is None


def test_a_rollout_is_in_one_state_and_what_it_took_is_in_seconds() -> None:
    rollout = {"state": "Refused", "candidate": "2", "since": 0, "pause_ms": None, "longest_step_ms": 8, "load_ms": 90}
    registry = scraped(modules=(module(rollout=rollout),))
    state = names.ROLLOUT_STATE.name
    states = {each: registry.get_sample_value(state, {**MODULE, "state": each}) for each in RolloutState}
    assert states == {each: float(each is RolloutState.REFUSED) for each in RolloutState}
    assert registry.get_sample_value(names.ROLLOUT_STEP.name, MODULE) == pytest.approx(0.008)
    assert registry.get_sample_value(names.ROLLOUT_LOAD.name, MODULE) == pytest.approx(0.09)
    assert registry.get_sample_value(names.ROLLOUT_PAUSE.name, MODULE) is None
    assert scraped(modules=(module(),)).get_sample_value(state, {**MODULE, "state": "Serving"}) is None


def test_frames_within_the_objective_are_those_of_the_account() -> None:
    frames = FrameCounts(ingested=5, delivered=4, within=3, in_flight=1)
    stream = ObservedStream(service=SERVICE, name="s", source="test://1x1", state="running", frames=frames)
    registry = scraped(streams=(stream,))
    assert registry.get_sample_value(names.FRAMES_WITHIN.name, {"service": SERVICE, "stream": "s"}) == 3


def test_device_time_is_that_which_each_service_was_charged_with() -> None:
    pipelines = (
        ObservedPipeline(service=SERVICE, uid="u", device_s=2.5),
        ObservedPipeline(service="tests/yard", uid="v"),
    )
    registry = scraped(pipelines=pipelines)
    charged = names.SERVICE_DEVICE_SECONDS.name
    assert registry.get_sample_value(charged, {"service": SERVICE}) == 2.5
    assert registry.get_sample_value(charged, {"service": "tests/yard"}) == 0


def test_parameters_are_those_that_each_service_was_charged_with() -> None:
    pipeline = ObservedPipeline(service=SERVICE, uid="u", parameter_bytes=300, charged_bytes=150)
    registry = scraped(pipelines=(pipeline,))
    assert registry.get_sample_value(names.SERVICE_PARAMETERS.name, {"service": SERVICE}) == 150


def test_parameters_are_counted_once_and_for_each_that_uses_them() -> None:
    registry = scraped(parameters=ParameterBytes(unique=100, referenced=250))
    assert registry.get_sample_value(names.PARAMETERS_UNIQUE.name) == 100
    assert registry.get_sample_value(names.PARAMETERS_REFERENCED.name) == 250
    assert scraped().get_sample_value(names.PARAMETERS_UNIQUE.name) is None


def test_a_shared_stage_is_counted_by_a_name_that_follows_from_its_modules_alone() -> None:
    modules = ("tests/door/m", "tests/yard/m")
    stage = ObservedStage(modules=modules, nodes=7, share=0.9, batches=3, pictures=10, items=20, seconds=0.5)
    other = stage.model_copy(update={"modules": (*modules, "tests/hall/m"), "batches": 1})
    registry = scraped(stages=(stage, other))
    labels = {"shared_stage": stage.short_id, "modules": "2"}
    assert stage.short_id == ObservedStage(modules=modules).short_id != other.short_id
    counted = (names.STAGE_BATCHES, names.STAGE_PICTURES, names.STAGE_ITEMS, names.STAGE_SECONDS)
    assert [registry.get_sample_value(each.name, labels) for each in counted] == [3, 10, 20, 0.5]
    assert registry.get_sample_value(names.STAGE_BATCHES.name, {"shared_stage": other.short_id, "modules": "3"}) == 1
