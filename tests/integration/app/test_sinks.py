"""Sinks of the app as a process: whatever a receiver does, frames go on, and every event is accounted for."""

from __future__ import annotations

import pytest

from framepilot.contract.desired import (
    Batch,
    Delivery,
    DesiredModule,
    DesiredSink,
    DesiredStream,
    ModelRef,
    Pipeline,
    SpoolSpace,
)
from framepilot.contract.observed import ObservedSink, SinkState, StreamState
from support.app_process import AppProcess, delivered, metric
from support.broker import Broker, Subscriber, password_file
from support.eventually import eventually
from support.tiny_model import write_tiny_model

SERVICE = "tests/sinks"


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.broker.stop()
    assert world.app.stop() == 0


class World:
    """An app with one stream, a sink to a file, and one to a broker."""

    def __init__(self, folder) -> None:
        write_tiny_model(folder / "models", "1")
        self.folder = folder
        self.out = folder / "events.jsonl"
        self.broker = Broker(folder / "broker")
        self.logins = folder / "credentials" / "site"
        self.logins.mkdir(parents=True)
        self.app = AppProcess(folder / "app", "--credentials", str(self.logins.parent))

    def want(self, source: str, delivery: Delivery, spool: SpoolSpace | None = None) -> None:
        model = ModelRef(name="tiny", version="1", uri=f"file://{self.folder}/models/tiny/1")
        url = f"mqtt://127.0.0.1:{self.broker.port}/x"
        self.app.want(
            Pipeline(
                service=SERVICE,
                uid="s",
                objective_ms=1000,
                credentials="site",
                streams=(DesiredStream(name="s", source=source, delivery=delivery, realtime=False),),
                modules=(DesiredModule(name="m", budget_ms=100, batch=Batch(size=8, limit=8), model=model),),
                sinks=(
                    DesiredSink(name="file", type="file", path=self.out),
                    DesiredSink(name="broker", type="mqtt", url=url, spool=spool),
                ),
            )
        )

    def sink(self, name: str) -> ObservedSink | None:
        found = next((sink for sink in self.app.status().sinks if sink.name == name), None)
        if found is not None:
            assert found.offered == found.written + sum(found.dropped.values()) + found.waiting
        return found

    def failed(self) -> bool:
        sink = self.sink("broker")
        return sink is not None and sink.state is SinkState.FAILED


def test_a_dead_broker_stops_no_frame_is_said_and_gets_what_waits_when_it_is_back(world):
    world.broker.stop()
    world.want("test://96x48?fps=25&frames=500", Delivery.LOSSLESS)
    eventually(lambda: len(delivered(world.out)) == 500, "all frames at the other sink")
    eventually(lambda: world.app.stream(SERVICE, "s").state is StreamState.ENDED)
    eventually(world.failed)
    state = world.app.status()
    assert "sink 'broker': 127.0.0.1" in state.pipeline(SERVICE, "s").error
    assert "file" not in state.pipeline(SERVICE, "s").error
    assert world.sink("broker").waiting == 500
    text = world.app.get("/metrics")[1]
    labels = {"service": SERVICE, "sink": "broker"}
    assert metric(text, "framepilot_sink_events_waiting", **labels) == 500
    assert metric(text, "framepilot_sink_connected", **labels) == 0
    world.broker.start()
    eventually(lambda: world.sink("broker").written == 500)
    eventually(lambda: world.app.status().pipeline(SERVICE, "s").error is None)
    text = world.app.get("/metrics")[1]
    assert metric(text, "framepilot_sink_events_written_total", **labels) == 500
    assert metric(text, "framepilot_sink_connected", **labels) == 1


def test_what_was_spooled_outlives_an_app_that_is_killed(world):
    subscriber = Subscriber(world.broker.port)
    world.broker.stop()
    world.want("test://96x48?fps=25&frames=1500", Delivery.LOSSLESS, SpoolSpace(size_bytes=1 << 28))
    eventually(lambda: (sink := world.sink("broker")) and sink.spooled > 200, "events on disk")
    before = world.sink("broker")
    world.app.restart()
    world.broker.start()
    eventually(lambda: (sink := world.sink("broker")) and sink.written >= 1500 + before.spooled, "all events")
    first = min(data["epoch"] for data in delivered(world.out))
    eventually(lambda: any(event["data"]["epoch"] > first for event in subscriber.events()))
    spooled = {event["data"]["sequence"] for event in subscriber.events() if event["data"]["epoch"] == first}
    # What was in memory is gone with the process; what was on disk is not.
    assert len(spooled) >= before.spooled
    assert sorted(spooled) == [*range(min(spooled), max(spooled) + 1)]
    subscriber.close()


def test_a_broker_that_hangs_costs_the_stream_of_a_camera_no_frame(world):
    world.want("test://96x48?fps=25", Delivery.NEWEST)
    eventually(lambda: (sink := world.sink("broker")) and sink.written > 50)
    world.broker.freeze()
    before = world.sink("file").written
    eventually(lambda: world.sink("broker").state is not SinkState.CONNECTED, "the broker to be missed")
    eventually(lambda: world.sink("file").written > before + 500)
    world.broker.thaw()
    eventually(lambda: world.sink("broker").state is SinkState.CONNECTED)
    frames = world.app.status().frames
    assert frames.ingested == frames.delivered + sum(frames.dropped.values()) + frames.in_flight


def test_a_broker_that_wants_a_password_is_given_the_one_in_the_folder_of_the_service(world):
    world.broker.stop()
    world.broker.configure(f"password_file {password_file(world.folder, 'ann', 'right')}")
    world.broker.start()
    world.want("test://96x48?fps=25&frames=20", Delivery.LOSSLESS)
    eventually(world.failed)
    assert "does not let it in" in world.sink("broker").reason
    (world.logins / "broker.username").write_text("ann")
    (world.logins / "broker.password").write_text("right")
    eventually(lambda: world.sink("broker").written == 20)
