"""The app with cameras that stall: it says so everywhere, the streams beside them go on, nothing is lost or leaked."""

from __future__ import annotations

from pathlib import Path

import pytest

from framepilot.contract.desired import Batch, Delivery, DesiredModule, DesiredSink, DesiredStream, ModelRef, Pipeline
from framepilot.contract.observed import StreamState
from support.app_process import AppProcess, delivered, events, metric
from support.cameras.process import CameraProcess, web_camera
from support.eventually import eventually
from support.tiny_model import write_tiny_model

pytestmark = pytest.mark.timeout(300)

PASSWORD = "s3cret-word"
SERVICE = "tests/cameras"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder, "1")
    return folder


@pytest.fixture
def camera(tmp_path):
    (tmp_path / "asked").write_text(PASSWORD)
    server = web_camera("--password-file", str(tmp_path / "asked"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    credentials = folder / "credentials" / "cameras"
    credentials.mkdir(parents=True)
    (credentials / "door.username").write_text("viewer")
    (credentials / "door.password").write_text(PASSWORD)
    process = AppProcess(folder, "--credentials", str(credentials.parent))
    yield process
    assert process.stop() == 0


def cameras(store: Path, out: Path, camera: CameraProcess) -> Pipeline:
    """`door` is the private camera of the server, `film` never stops."""
    door = f"http://127.0.0.1:{camera.port}/private"
    return Pipeline(
        service=SERVICE,
        uid=str(camera.port),
        objective_ms=1000,
        credentials="cameras",
        streams=(
            DesiredStream(name="door", source=door, timeout_ms=1000),
            DesiredStream(name="film", source="test://160x120?fps=30", delivery=Delivery.LOSSLESS),
        ),
        modules=(
            DesiredModule(
                name="m",
                budget_ms=100,
                batch=Batch(size=4, limit=4, max_wait_ms=5),
                model=ModelRef(name="tiny", version="1", uri=f"file://{store}/tiny/1"),
            ),
        ),
        sinks=(DesiredSink(name="events", type="file", path=out, drops=True),),
    )


def of(path: Path, stream: str) -> list[dict]:
    return [data for data in delivered(path) if data["stream"] == stream]


def open_files(app: AppProcess) -> int:
    return len(list(Path(f"/proc/{app.process.pid}/fd").iterdir()))


def test_a_camera_that_freezes_and_dies_is_said_to_and_costs_the_others_nothing(app, store, camera, tmp_path):
    out = tmp_path / "events.jsonl"
    app.want(cameras(store, out, camera))
    eventually(lambda: len(of(out, "door")) > 10, "frames of the camera")
    for fault in (camera.freeze, camera.kill):
        fault()
        eventually(lambda: app.stream(SERVICE, "door").state is StreamState.STALLED, "the stall to be said")
        before = len(of(out, "film"))
        eventually(lambda seen=before: len(of(out, "film")) > seen + 30, "frames of the other stream")
    stalled = app.stream(SERVICE, "door")
    assert stalled.reason
    assert stalled.trouble
    text = app.get("/metrics")[1]
    assert metric(text, "framepilot_stream_state", stream="door", state="stalled") == 1
    assert metric(text, "framepilot_stream_state", stream="door", state="running") == 0
    assert metric(text, "framepilot_stream_reconnects_total", stream="door") == stalled.reconnects > 0
    assert app.get("/healthz")[0] == app.get("/readyz")[0] == 200

    seen = len(of(out, "door"))
    camera.start()
    eventually(lambda: len(of(out, "door")) > seen + 10, "frames of the camera that is back")
    assert app.stream(SERVICE, "door").state is StreamState.RUNNING
    for stream in app.status().streams:
        counts = stream.frames
        assert counts.ingested == counts.delivered + sum(counts.dropped.values()) + counts.in_flight

    # Every frame that was taken ended once, in every epoch, and the other stream lost none.
    ended: dict[int, list[int]] = {}
    for event in events(out):
        if event["data"]["stream"] == "door":
            ended.setdefault(event["data"]["epoch"], []).append(event["data"]["sequence"])
    assert len(ended) >= 2
    assert all(sequences == list(range(len(sequences))) for sequences in ended.values())
    film = [data["sequence"] for data in of(out, "film")]
    assert film == list(range(len(film)))


def test_a_password_is_in_no_status_no_metric_and_no_log(app, store, camera, tmp_path):
    out = tmp_path / "events.jsonl"
    app.want(cameras(store, out, camera))
    eventually(lambda: len(of(out, "door")) > 3, "frames of the camera")
    (tmp_path / "asked").write_text("another")
    camera.restart()
    eventually(lambda: "does not accept" in (app.stream(SERVICE, "door").reason or ""), "the camera to refuse")
    shown = [app.get(path)[1] for path in ("/status", "/metrics", "/healthz", "/readyz")]
    for text in (*shown, app.log.read_text(), out.read_text()):
        assert PASSWORD not in text


def test_a_camera_that_comes_and_goes_leaks_nothing(app, store, camera, tmp_path):
    out = tmp_path / "events.jsonl"
    wanted = cameras(store, out, camera)
    door = wanted.streams[0].model_copy(update={"source": f"http://127.0.0.1:{camera.port}/nowhere"})
    app.want(wanted.model_copy(update={"streams": (door, wanted.streams[1])}))
    eventually(lambda: app.stream(SERVICE, "door").reconnects >= 2, "a few openings")
    before = open_files(app)
    eventually(lambda: app.stream(SERVICE, "door").reconnects >= 6, "more openings")
    assert open_files(app) <= before + 2
