"""What `/metrics` says of a state, and of frames as they end."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from framepilot.contract import metrics as names
from framepilot.contract.events import FrameId
from framepilot.contract.observed import (
    Device,
    FrameCounts,
    ObservedModule,
    ObservedPipeline,
    ObservedSink,
    ObservedState,
    ObservedStream,
    ServingModel,
)
from framepilot.rollouts.state import RolloutState
from framepilot_app.frames import Delivered, Dropped, DropReason, Frame
from framepilot_app.sinks.outbox import Loss
from framepilot_app.telemetry.metrics import Failures, Metrics, StateCollector

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


def frame(objective_s: float = 0.2) -> Frame:
    return Frame(
        id=FrameId(service=SERVICE, stream="s", epoch=1, sequence=0),
        image=np.zeros((1, 1, 3), np.uint8),
        captured_at=100.0,
        captured_unix=0.0,
        deadline=100.0 + objective_s,
        enforced=True,
        priority=50,
    )


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


@pytest.mark.parametrize(
    ("outcome", "within"),
    [
        (Delivered(frame(), (), latency_ms=150), 1),
        (Delivered(frame(), (), latency_ms=250), 0),
        (Dropped(frame(), DropReason.LATE), 0),
    ],
)
def test_a_frame_is_within_its_objective_if_it_was_delivered_in_time(outcome, within) -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.frame(outcome)
    assert metrics.registry.get_sample_value(names.FRAMES_WITHIN.name, {"service": SERVICE, "stream": "s"}) == within
