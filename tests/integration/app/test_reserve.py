"""Two services in one process, each with more frames than the device can take: what each gets of the device's time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from framepilot.contract.desired import Batch, DesiredModule, DesiredStream, ModelRef, Pipeline
from framepilot.contract.observed import ObservedState
from support.app_process import AppProcess
from support.eventually import eventually
from support.tiny_model import write_slow_model

FEW, MANY = "tests/few", "tests/many"


def pipeline(service: str, store: Path, streams: int, reserve: float = 0) -> Pipeline:
    model = ModelRef(name="slow", version="1", uri=f"file://{store}/slow/1")
    return Pipeline(
        service=service,
        uid=service,
        objective_ms=2000,
        reserve=reserve,
        streams=tuple(DesiredStream(name=f"s{number}", source="test://96x48?fps=150") for number in range(streams)),
        modules=(DesiredModule(name="m", budget_ms=100, batch=Batch(size=1, limit=1), model=model),),
    )


def device_s(state: ObservedState) -> Counter[str]:
    """The device time of each service since it began to serve."""
    return Counter({m.service: sum(batch.seconds for batch in m.batches) for m in state.modules})


def part_of_few(app: AppProcess, seconds: float) -> float:
    """The part that one of the two gets of the device's time, over so much of it."""
    before = device_s(app.status())

    def used() -> Counter[str]:
        return device_s(app.status()) - before

    eventually(lambda: used().total() >= seconds, "the device to be used", poll_s=0.1)
    took = used()
    return took[FEW] / took.total()


def test_a_reserve_is_got_beside_a_service_with_more_streams_and_changes_while_frames_flow(tmp_path):
    store = tmp_path / "models"
    write_slow_model(store)
    app = AppProcess(tmp_path / "app")

    def want(few: float = 0, many: float = 0) -> None:
        generation = app.want(pipeline(FEW, store, 1, few), pipeline(MANY, store, 4, many))
        eventually(lambda: app.status().generation == generation, "the document to be in force")

    want()
    eventually(lambda: all(device_s(app.status())[service] > 0.2 for service in (FEW, MANY)), "both to serve")
    epochs = {(s.service, s.name): s.epoch for s in app.status().streams}
    without = part_of_few(app, 3)
    want(few=0.6)
    with_reserve = part_of_few(app, 3)
    want(many=0.6)
    beside_a_reserve = part_of_few(app, 3)
    print(f"part of the device: {without:.2f}, with its reserve {with_reserve:.2f}, beside one {beside_a_reserve:.2f}")
    assert 0.35 <= without <= 0.62
    assert with_reserve >= 0.65
    assert beside_a_reserve <= 0.35
    assert {(s.service, s.name): s.epoch for s in app.status().streams} == epochs, "no stream was opened anew"
    assert app.stop() == 0
