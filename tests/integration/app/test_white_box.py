"""Two services whose models begin alike, on one camera, in a real process: what they share runs once a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from framepilot.contract.desired import (
    Batch,
    Delivery,
    DesiredModule,
    DesiredSink,
    DesiredStream,
    Engine,
    ModelRef,
    Pipeline,
)
from framepilot.contract.events import FrameId
from framepilot.contract.observed import ObservedStage
from support.app_process import AppProcess, delivered, events, metric, versions
from support.eventually import eventually
from support.samples.build import build
from support.site import Ledger

pytestmark = [pytest.mark.samples, pytest.mark.timeout(600)]

MODULES = ("tests/door/age", "tests/hall/age")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[AppProcess]:
    process = AppProcess(tmp_path / "app")
    yield process
    assert process.stop() == 0


def pipeline(service: str, version: str, out: Path, engine: Engine = Engine.TORCH) -> Pipeline:
    """One model on the looped video, which it looks at like a camera; what is dropped is said, too."""
    samples = build()
    model = ModelRef(name="age", version=version, uri=f"file://{samples}/models/age/{version}", engine=engine)
    camera = DesiredStream(
        name="camera",
        source=f"file://{samples}/videos/carphone_pristine.mp4",
        fps=10,
        loop=True,
        realtime=True,
        delivery=Delivery.NEWEST,
    )
    return Pipeline(
        service=f"tests/{service}",
        uid=service,
        objective_ms=10_000,
        streams=(camera,),
        modules=(DesiredModule(name="age", budget_ms=100, batch=Batch(size=4, limit=4, max_wait_ms=5), model=model),),
        sinks=(DesiredSink(name="events", type="file", path=out, drops=True),),
    )


def shared(app: AppProcess) -> ObservedStage:
    """The stage of both services; one that nobody has used if there is none."""
    return next((stage for stage in app.status().stages if stage.modules == MODULES), ObservedStage())


def serves(app: AppProcess, service: str, version: str) -> None:
    def check() -> bool:
        modules = [module for module in app.status().modules if module.service == f"tests/{service}"]
        return any(module.serving is not None and module.serving.version == version for module in modules)

    eventually(check, f"version {version} of {service} to serve")


def ledger(out: Path) -> Ledger:
    """Of all frames, those that were dropped, too: what is missing there is lost."""
    ids = [FrameId.parse(event["id"]) for event in events(out)]
    return Ledger.of([(each.epoch, each.sequence) for each in ids])


def test_services_on_one_camera_share_the_beginning_of_their_models_while_one_changes_and_goes(
    app: AppProcess, tmp_path: Path
) -> None:
    door, hall = tmp_path / "door.jsonl", tmp_path / "hall.jsonl"
    app.want(pipeline("door", "1", door), pipeline("hall", "2", hall))
    serves(app, "door", "1")
    serves(app, "hall", "2")
    eventually(lambda: shared(app).items > 20, "items of what is shared")
    status = app.status()
    (stage,) = (each for each in status.stages if each.modules == MODULES)
    assert 0 < stage.batches <= stage.pictures < stage.items
    assert stage.nodes > 30
    assert stage.share > 0.99
    assert len(stage.shares) == 2
    assert min(stage.shares) == stage.share
    assert [point.pictures for point in stage.points] == [1, 2, 3, 4]
    assert all(point.ms > 0 for point in stage.points)
    assert [module.alone for module in status.modules] == [None, None]
    assert 0 < status.parameters.unique < status.parameters.referenced
    assert all(each.device_s > 0 for each in status.pipelines)
    text = app.get("/metrics")[1]
    assert metric(text, "framepilot_shared_stage_items_total") >= stage.items

    app.want(pipeline("door", "1", door), pipeline("hall", "1", hall))
    serves(app, "hall", "1")
    answered = versions(hall, "age")["1"]
    eventually(lambda: versions(hall, "age")["1"] > answered + 20, "frames of the other version")
    # Two times the same model: all of it is shared.
    eventually(lambda: shared(app).share == 1, "the plan to follow")

    app.want(pipeline("door", "1", door))
    eventually(lambda: not app.status().stages, "the other service to leave")
    seen = len(delivered(door))
    eventually(lambda: len(delivered(door)) > seen + 20, "more frames of the one that stays")
    assert app.module("tests/door", "age").alone is None
    assert ledger(door).whole
    assert ledger(hall).whole
    errors = [event for path in (door, hall) for event in events(path) if event["data"].get("reason") == "error"]
    assert errors == []


def test_services_that_ask_for_the_fastest_engine_share_on_the_one_that_is_the_fastest_for_the_stage(
    app: AppProcess, tmp_path: Path
) -> None:
    door, hall = tmp_path / "door.jsonl", tmp_path / "hall.jsonl"
    app.want(pipeline("door", "1", door, Engine.AUTO), pipeline("hall", "2", hall, Engine.AUTO))
    serves(app, "door", "1")
    serves(app, "hall", "2")
    eventually(lambda: shared(app).engines, "the engines of what is shared to be compared")
    stage = shared(app)
    assert stage.engine == stage.engines[0].name
    assert {each.name for each in stage.engines} == {"torch", "onnxruntime", "openvino"}
    assert [each.reason for each in stage.engines].count(None) == 1
    eventually(lambda: shared(app).items > stage.items + 20, "items by that engine")
    assert [module.alone for module in app.status().modules] == [None, None]
    assert ledger(door).whole
    assert ledger(hall).whole
    errors = [event for path in (door, hall) for event in events(path) if event["data"].get("reason") == "error"]
    assert errors == []
