"""The app as a process, with real files, threads and models (tiny ones): the main job, live changes, and bad input."""

from __future__ import annotations

import shutil
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
from framepilot.contract.observed import StreamState
from framepilot.rollouts.state import RolloutState
from framepilot_app.graphs.aot_engine import ENGINE as AOT_ENGINE
from support.app_process import AppProcess, delayed, delivered, events, metric, versions
from support.eventually import eventually
from support.tiny_model import write_tiny_model

ENDLESS = "test://160x120?fps=50"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Versions 1 and 2 answer differently, `nan` reproduces no example, `damaged` has a wrong digest."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder, "1", gain=1.0)
    write_tiny_model(folder, "2", gain=2.0)
    write_tiny_model(folder, "nan", gain=1.0, served_gain=float("nan"))
    damaged = write_tiny_model(folder, "damaged") / "weights.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x7f")
    return folder


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    process = AppProcess(tmp_path_factory.mktemp("app"))
    yield process
    if process.process.poll() is None:
        assert process.stop() == 0


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "events.jsonl"


def ref(store: Path, version: str, name: str = "tiny") -> ModelRef:
    return ModelRef(name=name, version=version, uri=f"file://{store}/{name}/{version}")


def module(store: Path, version: str = "1", **fields) -> DesiredModule:
    batch = fields.pop("batch", Batch(size=4, limit=8, max_wait_ms=5))
    return DesiredModule(name=fields.pop("name", "m"), budget_ms=100, batch=batch, model=ref(store, version), **fields)


def pipeline(service: str, modules, out: Path, *, source: str = ENDLESS, uid: str = "s", **stream) -> Pipeline:
    stream = {"delivery": Delivery.LOSSLESS, "realtime": True, **stream}
    return Pipeline(
        service=f"tests/{service}",
        uid=uid,
        objective_ms=1000,
        streams=(DesiredStream(name="s", source=source, **stream),),
        modules=tuple(modules),
        sinks=(DesiredSink(name="events", type="file", path=out, drops=True),),
    )


def appears(app: AppProcess, service: str) -> None:
    eventually(lambda: any(m.service == f"tests/{service}" for m in app.status().modules), "the service to appear")


def serves(app: AppProcess, service: str, version: str, name: str = "m") -> None:
    def check() -> bool:
        observed = app.module(f"tests/{service}", name)
        return observed.serving is not None and observed.serving.version == version

    appears(app, service)
    eventually(check, f"version {version} to serve")


def refused(app: AppProcess, service: str) -> str:
    """Wait for a refusal; its reason."""
    appears(app, service)

    def check() -> str | None:
        rollout = app.module(f"tests/{service}", "m").rollout
        return rollout.reason if rollout and rollout.state is RolloutState.REFUSED else None

    eventually(check, "the rollout to be refused")
    return check() or ""


def test_a_version_that_is_not_in_the_store_yet_comes_into_force_when_it_is_and_the_old_one_serves_meanwhile(
    app, store, out, tmp_path
):
    own = tmp_path / "own-store"
    shutil.copytree(store / "tiny" / "1", own / "tiny" / "1")
    app.want(pipeline("upload", [module(own)], out))
    serves(app, "upload", "1")
    app.want(pipeline("upload", [module(own, "2")], out))
    assert "there is no version '2'" in delayed(app, "tests/upload")
    # Half of it is there: that is not a model yet, and nothing against it.
    shutil.copytree(store / "tiny" / "2", own / "tiny" / "2", ignore=shutil.ignore_patterns("weights*"))
    eventually(lambda: "is missing" in delayed(app, "tests/upload"), "the half to be seen")
    assert app.module("tests/upload", "m").serving.version == "1"
    shutil.copy(store / "tiny" / "2" / "weights.safetensors", own / "tiny" / "2" / "weights.safetensors")
    serves(app, "upload", "2")
    assert app.module("tests/upload", "m").rollout.reason is None


def test_every_frame_of_a_source_reaches_the_sink_once_and_in_order(app, store, out):
    source = "test://160x120?fps=25&frames=200"
    app.want(pipeline("all", [module(store)], out, source=source, realtime=False))
    eventually(lambda: len(delivered(out)) == 200, "200 frames")
    assert [data["sequence"] for data in delivered(out)] == list(range(200))
    assert len({event["id"] for event in events(out)}) == 200
    stream = app.stream("tests/all", "s")
    assert stream.state is StreamState.ENDED
    assert (stream.frames.ingested, stream.frames.delivered, stream.frames.in_flight) == (200, 200, 0)
    text = app.get("/metrics")[1]
    labels = {"service": "tests/all", "stream": "s"}
    assert metric(text, "framepilot_frames_ingested_total", **labels) == 200
    assert metric(text, "framepilot_frames_delivered_total", **labels) == 200
    assert metric(text, "framepilot_frames_in_flight", **labels) == 0
    assert app.get("/healthz") == (200, "ok")
    assert app.get("/readyz") == (200, "ok")


def test_equal_parameters_of_two_services_are_counted_once_and_for_each(app, store, out):
    app.want(pipeline("one", [module(store)], out), pipeline("two", [module(store)], out.with_name("two.jsonl")))
    serves(app, "one", "1")
    serves(app, "two", "1")

    def counted() -> bool:
        found = app.status().parameters
        return found.referenced == 2 * found.unique > 0

    eventually(counted, "the services of the test before to be gone, and these two to be counted")
    app.want()


def test_without_sharing_each_service_has_its_own_parameters_and_runs_its_own_program(store, tmp_path):
    app = AppProcess(tmp_path / "app", environment={"FRAMEPILOT_SHARE": "no"})
    try:
        outs = [tmp_path / f"{service}.jsonl" for service in ("one", "two")]
        app.want(*(pipeline(out.stem, [module(store)], out) for out in outs))
        eventually(lambda: all(len(delivered(out)) > 5 for out in outs), "frames of both")
        found = app.status()
        assert found.parameters.unique == found.parameters.referenced > 0
        assert found.stages == ()
        assert [each.alone for each in found.modules] == ["sharing is switched off: --no-share"] * 2
    finally:
        app.stop()


def test_batch_and_version_change_while_frames_flow_and_none_is_lost(app, store, out):
    app.want(pipeline("live", [module(store)], out))
    serves(app, "live", "1")
    eventually(lambda: len(delivered(out)) > 20, "frames")
    app.want(pipeline("live", [module(store, batch=Batch(size=2, limit=8, max_wait_ms=1))], out))
    eventually(lambda: app.module("tests/live", "m").batch.size == 2, "the batch size")
    app.want(pipeline("live", [module(store, "2", batch=Batch(size=2, limit=8, max_wait_ms=1))], out))
    serves(app, "live", "2")
    answered = versions(out, "m")["2"]
    eventually(lambda: versions(out, "m")["2"] > answered + 20, "frames of the new version")
    observed = app.module("tests/live", "m")
    assert [point.batch for point in observed.profile] == [1, 2, 3, 4, 6, 8]
    assert observed.rollout.pause_ms is not None
    # Those of the version that serves: what the one before did says nothing of it.
    assert 0 < sum(each.size * each.count for each in observed.batches) < observed.items <= observed.arrived
    assert all(each.size in {1, 2} and each.seconds > 0 for each in observed.batches)
    app.want()
    eventually(lambda: not app.status().streams, "the service to end")
    frames = app.status().frames
    eventually(lambda: app.status().frames.in_flight == 0, "the last frames")
    sequences = [data["sequence"] for data in delivered(out)]
    assert sequences == list(range(len(sequences)))
    seen = [m["version"] for data in delivered(out) for m in data["modules"]]
    assert seen == sorted(seen), "once the new version answers, the old one does no more"
    assert set(seen) == {"1", "2"}
    assert frames.dropped == {}


def test_the_engine_changes_while_frames_flow_and_none_is_lost(app, store, out):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")

    def on(engine: Engine) -> DesiredModule:
        return module(store).model_copy(update={"model": ref(store, "1").model_copy(update={"engine": engine})})

    app.want(pipeline("engines", [on(Engine.AUTO)], out))
    serves(app, "engines", "1")
    tried = app.module("tests/engines", "m").engines
    assert {each.name for each in tried} == {"torch", "onnxruntime", "openvino"}
    assert tried[0].name == app.module("tests/engines", "m").engine
    assert all(each.reason for each in tried[1:])
    for engine in (Engine.ONNX_RUNTIME, Engine.OPENVINO, Engine.TORCH):
        app.want(pipeline("engines", [on(engine)], out))
        eventually(lambda wanted=engine: app.module("tests/engines", "m").engine == wanted, f"{engine} to serve")
        answered = len(delivered(out))
        eventually(lambda before=answered: len(delivered(out)) > before + 20, "frames of the engine")
        observed = app.module("tests/engines", "m")
        assert observed.profile == observed.engines[0].points
    sequences = [data["sequence"] for data in delivered(out)]
    assert sequences == list(range(len(sequences)))


@pytest.mark.skipif(AOT_ENGINE.missing() is not None, reason=AOT_ENGINE.missing() or "")
@pytest.mark.timeout(900)
def test_an_engine_that_compiles_for_long_comes_into_force_while_frames_flow(app, store, out):
    app.want(pipeline("compiled", [module(store)], out))
    serves(app, "compiled", "1")
    compiled = ref(store, "1").model_copy(update={"engine": Engine.AOT_INDUCTOR})
    app.want(pipeline("compiled", [module(store).model_copy(update={"model": compiled})], out))
    answered = len(delivered(out))
    eventually(lambda: len(delivered(out)) > answered + 20, "frames of the engine before")
    eventually(lambda: app.module("tests/compiled", "m").engine == Engine.AOT_INDUCTOR, "the engine to serve", 800)
    answered = len(delivered(out))
    eventually(lambda: len(delivered(out)) > answered + 20, "frames of the engine")
    sequences = [data["sequence"] for data in delivered(out)]
    assert sequences == list(range(len(sequences)))
    app.want()


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("nan", "output 0 of its example differs from the expected one"),
        ("damaged", "weights.safetensors"),
    ],
)
def test_a_bad_version_is_refused_with_the_reason_and_the_old_one_goes_on(app, store, out, version, reason):
    service = f"bad-{version}"
    app.want(pipeline(service, [module(store)], out))
    serves(app, service, "1")
    app.want(pipeline(service, [module(store, version)], out))
    assert reason in refused(app, service)
    before = len(delivered(out))
    eventually(lambda: len(delivered(out)) > before + 20, "frames after the refusal")
    assert set(versions(out, "m")) == {"1"}
    sequences = [data["sequence"] for data in delivered(out)]
    assert sequences == list(range(len(sequences)))
    app.want(pipeline(service, [module(store, "2")], out))
    serves(app, service, "2")


def test_a_wrong_digest_under_the_same_version_is_refused_and_both_are_named(app, store, out):
    app.want(pipeline("pinned", [module(store)], out))
    serves(app, "pinned", "1")
    pinned = ref(store, "2").model_copy(update={"sha256": "0" * 64})
    app.want(pipeline("pinned", [module(store).model_copy(update={"model": pinned})], out))
    reason = refused(app, "pinned")
    assert "0" * 64 in reason
    assert app.module("tests/pinned", "m").serving.version == "1"


def test_a_module_added_live_answers_and_a_removed_one_does_no_more(app, store, out):
    app.want(pipeline("graph", [module(store)], out))
    serves(app, "graph", "1")
    eventually(lambda: len(delivered(out)) > 10, "frames")
    app.want(pipeline("graph", [module(store), module(store, "2", name="n")], out))
    eventually(lambda: versions(out, "n")["2"] > 10, "frames with both modules")
    app.want(pipeline("graph", [module(store, "2", name="n")], out))
    eventually(lambda: [m.name for m in app.status().modules] == ["n"], "the module to be removed")
    eventually(lambda: [m["name"] for m in delivered(out)[-1]["modules"]] == ["n"], "frames with one module")
    sequences = [data["sequence"] for data in delivered(out)]
    assert sequences == list(range(len(sequences)))


def test_streams_and_sinks_come_and_go_live(app, store, out, tmp_path):
    first = pipeline("parts", [module(store)], out)
    app.want(first)
    serves(app, "parts", "1")
    eventually(lambda: len(delivered(out)) > 5, "frames")
    other = tmp_path / "other.jsonl"
    second = first.model_copy(
        update={
            "streams": (*first.streams, first.streams[0].model_copy(update={"name": "t"})),
            "sinks": (DesiredSink(name="other", type="file", path=other),),
        }
    )
    app.want(second)
    eventually(lambda: {data["stream"] for data in delivered(other)} == {"s", "t"}, "both streams at the new sink")
    app.want(second.model_copy(update={"streams": second.streams[1:]}))
    eventually(lambda: [s.name for s in app.status().streams] == ["t"], "one stream")
    frames = app.status().frames
    assert frames.ingested == frames.delivered + sum(frames.dropped.values()) + frames.in_flight


def test_a_changed_priority_is_in_force_without_opening_the_source_again(app, store, out):
    wanted = pipeline("priority", [module(store)], out, delivery=Delivery.NEWEST)
    app.want(wanted)
    serves(app, "priority", "1")
    eventually(lambda: len(delivered(out)) > 5, "frames")
    before = app.stream("tests/priority", "s")
    higher = wanted.streams[0].model_copy(update={"priority": 90})
    generation = app.want(wanted.model_copy(update={"streams": (higher,)}))
    eventually(lambda: app.status().generation == generation, "the change to be in force")
    seen = len(delivered(out))
    eventually(lambda: len(delivered(out)) > seen + 5, "frames after it")
    after = app.stream("tests/priority", "s")
    assert after.epoch == before.epoch
    assert after.frames.ingested > before.frames.ingested, "the same account goes on"


def test_a_service_that_is_declared_again_under_its_name_begins_anew_and_the_one_beside_it_goes_on(
    app, store, out, tmp_path
):
    other = tmp_path / "other.jsonl"
    beside = pipeline("beside", [module(store)], other)
    app.want(beside, pipeline("again", [module(store, "2")], out, uid="first"))
    serves(app, "again", "2")
    serves(app, "beside", "1")
    eventually(lambda: len(delivered(out)) > 5, "frames")
    app.want(beside, pipeline("again", [module(store)], out, uid="second"))
    eventually(lambda: app.status().pipeline("tests/again", "second"), "the new service")
    assert app.status().modules_of("tests/again", "first") == {}
    serves(app, "again", "1")
    eventually(lambda: versions(out, "m")["1"] > 5, "frames of the new service")
    # Each of the two took and delivered its own frames, from 0 on.
    epochs = {data["epoch"] for data in delivered(out)}
    assert len(epochs) == 2
    for epoch in epochs:
        sequences = [data["sequence"] for data in delivered(out) if data["epoch"] == epoch]
        assert sequences == list(range(len(sequences)))
    sequences = [data["sequence"] for data in delivered(other)]
    assert sequences == list(range(len(sequences)))


def test_what_is_wrong_with_a_sink_is_said_of_its_own_service(app, store, out, tmp_path):
    (tmp_path / "no-folder").touch()
    bad = pipeline("bad-sink", [module(store)], tmp_path / "no-folder" / "events.jsonl")
    app.want(bad, pipeline("good-sink", [module(store)], out))
    serves(app, "bad-sink", "1")
    eventually(lambda: app.status().pipeline("tests/bad-sink", "s").error, "the sink to fail")
    state = app.status()
    assert "no-folder" in state.pipeline("tests/bad-sink", "s").error
    assert state.pipeline("tests/good-sink", "s").error is None
    assert state.error is None


def test_a_desired_state_that_cannot_be_used_changes_nothing_and_is_reported(app, store, out):
    wanted = pipeline("steady", [module(store)], out)
    generation = app.want(wanted)
    serves(app, "steady", "1")
    whole = app.desired_file.read_text()
    for text, sentence in [
        (whole[: len(whole) // 2], "desired state: "),
        ("this is not JSON", "desired state: "),
        (whole.replace(f'"generation": {generation}', '"generation": 1'), "it is newer"),
        (whole.replace('"objectiveMs": 1000', '"objectiveMs": 999'), "with other content; write a higher one"),
        (whole.replace('"size": 4', '"size": 4, "colour": "red"'), "batch.colour: unknown field"),
    ]:
        assert text != whole
        app.write(text)
        eventually(lambda expected=sentence: expected in (app.status().error or ""), sentence)
        assert app.status().generation == generation
    app.desired_file.unlink()
    eventually(lambda: "cannot be read" in (app.status().error or ""), "the missing file to be noticed")
    before = len(delivered(out))
    eventually(lambda: len(delivered(out)) > before + 10, "frames all the while")
    app.write(whole)
    eventually(lambda: app.status().error is None, "the error to go")


@pytest.mark.parametrize(
    ("service", "content", "reason"),
    [("absent", None, "No such file"), ("garbled", b"not a film", "is not a video")],
)
def test_a_source_that_is_no_video_fails_with_its_reason_and_harms_no_other(
    app, store, out, tmp_path, service, content, reason
):
    bad = tmp_path / "bad.mp4"
    if content is not None:
        bad.write_bytes(content)
    wanted = pipeline(service, [module(store)], out)
    streams = (*wanted.streams, wanted.streams[0].model_copy(update={"name": "bad", "source": f"file://{bad}"}))
    app.want(wanted.model_copy(update={"streams": streams}))
    serves(app, service, "1")
    eventually(lambda: app.stream(f"tests/{service}", "bad").state is StreamState.FAILED, "the stream to fail")
    assert reason in app.stream(f"tests/{service}", "bad").reason
    eventually(lambda: len(delivered(out)) > 10, "frames of the other stream")


def test_after_a_crash_it_serves_the_fallback_first_and_does_not_try_a_refused_model_again(tmp_path, store, out):
    app = AppProcess(tmp_path / "crash")
    try:
        app.want(pipeline("crash", [module(store)], out))
        serves(app, "crash", "1")
        bad = module(store, "nan", fallback=ref(store, "1"))
        app.want(pipeline("crash", [bad], out))
        first = refused(app, "crash")
        app.restart()
        serves(app, "crash", "1")
        assert refused(app, "crash") == first
        log = app.log.read_text().split("Refused")[1]
        assert '"candidate": "nan", "state": "Loading"' not in log
        again = bad.model_copy(update={"attempt": 2})
        app.want(pipeline("crash", [again], out))
        eventually(lambda: app.module("tests/crash", "m").rollout.attempt == 2, "another attempt")
        assert refused(app, "crash") == first
    finally:
        assert app.stop() == 0


def test_a_missing_first_model_is_fetched_as_soon_as_it_is_there(app, store, out, tmp_path):
    own = tmp_path / "late-store"
    app.want(pipeline("late", [module(own)], out))
    assert "there is no" in delayed(app, "tests/late")
    assert app.get("/readyz")[0] == 503
    shutil.copytree(store / "tiny" / "1", own / "tiny" / "1")
    serves(app, "late", "1")
    eventually(lambda: len(delivered(out)) > 10, "frames")


def test_a_stop_delivers_what_is_in_flight(tmp_path, store, out):
    app = AppProcess(tmp_path / "stop")
    slow = module(store, batch=Batch(size=64, limit=64, max_wait_ms=200))
    app.want(pipeline("stop", [slow], out))
    serves(app, "stop", "1")
    eventually(lambda: app.status().frames.in_flight > 3, "frames in flight")
    assert app.stop() == 0
    sequences = [data["sequence"] for data in delivered(out)]
    assert len(sequences) > 3
    assert sequences == list(range(len(sequences)))
