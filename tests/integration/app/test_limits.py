"""Limits of a service in a real process: of the device's time, of that of a batch, and of its models' memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from framepilot.contract.desired import Batch, Delivery, DesiredModule, DesiredStream, ModelRef, Pipeline
from framepilot.contract.observed import ObservedModule, ObservedTimeLimit
from framepilot.rollouts.state import RolloutState
from support.app_process import AppProcess, metric
from support.eventually import eventually
from support.samples.build import build
from support.tiny_model import write_slow_model

SERVICE = "tests/door"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[AppProcess]:
    process = AppProcess(tmp_path / "app")
    yield process
    assert process.stop() == 0


def pipeline(
    model: ModelRef,
    *,
    limit: float = 1,
    memory: int | None = None,
    time_ms: float | None = None,
    name: str = "door",
    delivery: Delivery = Delivery.NEWEST,
) -> Pipeline:
    return Pipeline(
        service=f"tests/{name}",
        uid=name,
        objective_ms=2000,
        limit=limit,
        memory_limit_bytes=memory,
        time_limit_ms=time_ms,
        streams=tuple(
            DesiredStream(name=f"s{number}", source="test://96x48?fps=150", delivery=delivery) for number in range(3)
        ),
        modules=(DesiredModule(name="m", budget_ms=100, batch=Batch(size=1, limit=1), model=model),),
    )


def device_s(app: AppProcess) -> float:
    return sum(batch.seconds for module in app.status().modules for batch in module.batches)


def share(app: AppProcess, seconds: float) -> float:
    """The part of the device's time that is used over so much of it; a slow machine cannot make it more."""
    before, since = device_s(app), time.monotonic()
    eventually(lambda: device_s(app) - before >= seconds, "the device to be used", poll_s=0.1)
    return (device_s(app) - before) / (time.monotonic() - since)


def test_a_service_takes_no_more_of_an_idle_device_than_its_limit_and_it_changes_while_frames_flow(app, tmp_path):
    write_slow_model(tmp_path / "models")
    slow = ModelRef(name="slow", version="1", uri=f"file://{tmp_path}/models/slow/1")

    def want(limit: float) -> None:
        generation = app.want(pipeline(slow, limit=limit))
        eventually(lambda: app.status().generation == generation, "the document to be in force")

    want(0.2)
    eventually(lambda: device_s(app) > 0.2, "it to serve")
    epochs = {stream.name: stream.epoch for stream in app.status().streams}
    limited = share(app, 0.6)
    want(1)
    free = share(app, 1)
    print(f"part of the device: limited {limited:.2f}, then {free:.2f}")
    assert limited <= 0.3
    assert free > limited
    assert {stream.name: stream.epoch for stream in app.status().streams} == epochs, "no stream was opened anew"
    assert app.status().frames.dropped.get("error", 0) == 0


def test_a_model_that_takes_longer_than_the_limit_is_not_loaded_until_it_may_and_stopped_when_it_may_no_more(
    app, tmp_path
):
    write_slow_model(tmp_path / "models")
    slow = ModelRef(name="slow", version="1", uri=f"file://{tmp_path}/models/slow/1")
    app.want(pipeline(slow, time_ms=0.1))
    eventually(
        lambda: any(each.rollout is not None and each.rollout.reason is not None for each in app.status().modules),
        "a reason",
    )
    module = app.module(SERVICE, "m")
    assert (module.serving, module.rollout.state) == (None, RolloutState.FETCHING)
    assert "more than the 0.1 ms of placement.timeLimit; raise the limit" in module.rollout.reason
    app.want(pipeline(slow, time_ms=60_000))
    eventually(lambda: app.module(SERVICE, "m").items > 0, "it to serve, once it may", timeout_s=60)
    assert app.status().pipelines[0].time_limit_ms == 60_000
    assert app.module(SERVICE, "m").time_limit == ObservedTimeLimit(limit_ms=60_000, size=1)
    assert app.status().frames.dropped.get("error", 0) == 0
    app.want(pipeline(slow, time_ms=0.1))
    eventually(lambda: app.status().frames.dropped.get("error", 0) > 0, "it to be stopped")
    stopped = app.module(SERVICE, "m").time_limit
    assert stopped.size == 0
    assert stopped.over >= 3
    assert "it is tried again after" in stopped.reason
    _, metrics = app.get("/metrics")
    assert metric(metrics, "framepilot_module_time_limit_batch_items", service=SERVICE, module="m") == 0
    before = app.module(SERVICE, "m").items
    app.want(pipeline(slow))
    eventually(lambda: app.module(SERVICE, "m").items > before + 10, "it to run again without a limit")
    assert app.module(SERVICE, "m").time_limit is None


def test_lossless_streams_wait_while_a_module_is_stopped(app, tmp_path):
    write_slow_model(tmp_path / "models")
    slow = ModelRef(name="slow", version="1", uri=f"file://{tmp_path}/models/slow/1")
    app.want(pipeline(slow, time_ms=60_000, delivery=Delivery.LOSSLESS))
    eventually(lambda: any(each.items for each in app.status().modules), "it to serve")
    app.want(pipeline(slow, time_ms=0.1, delivery=Delivery.LOSSLESS))
    eventually(lambda: app.module(SERVICE, "m").time_limit.size == 0, "it to be stopped")
    before, tried = app.status().frames.ingested, app.module(SERVICE, "m").time_limit.over
    eventually(lambda: app.module(SERVICE, "m").time_limit.over >= tried + 2, "two trials")
    assert app.status().frames.ingested - before <= 50, "of some 1300 that the sources could have given"
    app.want(pipeline(slow, delivery=Delivery.LOSSLESS))
    delivered = app.status().frames.delivered
    eventually(lambda: app.status().frames.delivered > delivered + 10, "it to run again without a limit")


@pytest.mark.samples
def test_a_model_that_takes_more_memory_than_the_limit_is_not_loaded_until_it_may(app):
    store = build() / "models"
    small, large = (ModelRef(name=name, version="1", uri=f"file://{store}/{name}/1") for name in ("gender", "age"))
    taken = sum(file.stat().st_size for file in (store / "gender" / "1").glob("weights.*"))

    def module() -> ObservedModule:
        return app.module(SERVICE, "m")

    app.want(pipeline(small, memory=taken + 100_000))
    eventually(
        lambda: [each.serving is not None for each in app.status().modules] == [True], "the small model to serve"
    )
    app.want(pipeline(large, memory=taken + 100_000))
    eventually(lambda: module().rollout is not None and module().rollout.reason is not None, "a reason")
    assert module().rollout.state is RolloutState.FETCHING
    assert f"more than the {taken + 100_000:,} of placement.memoryLimit; raise the limit" in module().rollout.reason
    assert module().model == "gender", "what serves goes on"
    app.want(pipeline(large))
    eventually(lambda: module().model == "age", "the large model to serve, once it may", timeout_s=60)


@pytest.mark.samples
def test_what_two_services_have_in_memory_is_charged_to_each_by_half(app):
    model = ModelRef(name="age", version="1", uri=f"file://{build()}/models/age/1")
    app.want(pipeline(model), pipeline(model, name="hall"))
    eventually(lambda: [each.serving is not None for each in app.status().modules] == [True, True], "both to serve")
    one, other = app.status().pipelines
    assert one.parameter_bytes == other.parameter_bytes > 0
    assert one.charged_bytes == other.charged_bytes == pytest.approx(one.parameter_bytes / 2, abs=1)
    assert metric(app.get("/metrics")[1], "framepilot_service_parameters_bytes", service=SERVICE) == one.charged_bytes
    app.want(pipeline(model))
    eventually(lambda: app.status().pipelines[0].charged_bytes == one.parameter_bytes, "all of it to be its own")
