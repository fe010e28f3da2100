from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.desired import (
    Delivery,
    DesiredModule,
    DesiredMotion,
    DesiredSink,
    DesiredState,
    Rotation,
    SinkTls,
    SpoolSpace,
)
from framepilot.contract.observed import (
    Device,
    ObservedBatch,
    ObservedModule,
    ObservedPipeline,
    ObservedRollout,
    ObservedState,
    ServingModel,
)
from framepilot.resources.parse import parse_resource
from framepilot.resources.service import InferenceService
from framepilot.rollouts.state import RolloutState
from framepilot_operator.planning.desired import desired_pipeline, desired_state, pipeline_of, same_content
from framepilot_operator.planning.planner import plan
from support.resources import service_document

KEY = "cameras/lobby"
UID = "uid"
ONE, TWO = "1" * 64, "2" * 64


def service(version: str = "1", sha256: str | None = None, engine: str = "auto") -> InferenceService:
    document: dict[str, Any] = service_document()
    model = {"name": "centerface", "version": version, "engine": engine}
    document["spec"]["modules"] = [{"name": "face", "model": model}]
    if sha256 is not None:
        document["spec"]["modules"][0]["model"]["sha256"] = sha256
    resource = parse_resource(document, "test")
    assert isinstance(resource, InferenceService)
    return resource


def build(
    declared: InferenceService, previous: DesiredState | None = None, observed: ObservedState | None = None
) -> DesiredState:
    """The next document, with the generation that a cluster would give it."""
    running = pipeline_of(previous, KEY, UID)
    planned = plan([declared], {}, {} if running is None else {KEY: running})[KEY]
    made = desired_state(UID, [desired_pipeline(declared, UID, planned, previous, observed)])
    return made.model_copy(update={"generation": 1 if previous is None else previous.generation + 1})


def face(state: DesiredState) -> DesiredModule:
    return state.pipelines[0].modules[0]


def answer(
    told: DesiredState,
    version: str,
    sha256: str,
    refused: str | None = None,
    generation: int | None = None,
    engine: str = "torch",
) -> ObservedState:
    """What an instance says: which version serves on which engine, and which was refused."""
    rollout = ObservedRollout(
        state=RolloutState.SERVING if refused is None else RolloutState.REFUSED, candidate=refused or version, since=0
    )
    module = ObservedModule(
        service=KEY,
        name="face",
        model="centerface",
        serving=ServingModel(version=version, sha256=sha256),
        batch=ObservedBatch(size=1, since=0),
        rollout=rollout,
        engine=engine,
    )
    return ObservedState(
        instance_uid=told.instance_uid,
        generation=told.generation if generation is None else generation,
        started_at=0,
        device=Device(device_class="cpu", name="cpu"),
        pipelines=(ObservedPipeline(service=KEY, uid=UID),),
        modules=(module,),
    )


def test_a_module_is_written_as_it_is_declared():
    document = service_document()
    resource = parse_resource(document, "test")
    assert isinstance(resource, InferenceService)
    made = build(resource)
    pipeline = made.pipelines[0]
    assert (pipeline.service, pipeline.objective_ms) == (KEY, 200)
    assert pipeline.streams[0].delivery is Delivery.LOSSLESS
    assert [(each.name, each.inputs, each.where.min_score) for each in pipeline.modules] == [
        ("face", (), 0),
        ("age", ("face",), 0.6),
    ]
    assert pipeline.modules[0].model.uri == "file:///models/centerface/1"
    assert [each.batch.limit for each in pipeline.modules] == [32, 32]


def test_a_reserve_is_written_as_a_fraction_and_nothing_is_none():
    document = service_document()
    for placement, written in (({}, 0), ({"reserve": "25%"}, 0.25), ({"reserve": "0.5%"}, 0.005)):
        document["spec"]["placement"] = placement
        resource = parse_resource(document, "test")
        assert isinstance(resource, InferenceService)
        assert build(resource).pipelines[0].reserve == written


def test_limits_are_written_as_a_fraction_as_bytes_and_in_milliseconds_and_nothing_is_no_limit():
    document = service_document()
    limited = {"limit": "30%", "memoryLimit": "2Mi", "timeLimit": "0.1s"}
    for placement, written in (({}, (1, None, None)), (limited, (0.3, 2 * 2**20, 100))):
        document["spec"]["placement"] = placement
        resource = parse_resource(document, "test")
        assert isinstance(resource, InferenceService)
        pipeline = build(resource).pipelines[0]
        assert (pipeline.limit, pipeline.memory_limit_bytes, pipeline.time_limit_ms) == written


def test_a_stream_is_written_with_what_holds_for_its_kind_of_source():
    document = service_document()
    document["spec"]["streams"] = [
        {"name": "video", "source": "file:///door.mp4"},
        {"name": "camera", "source": "test://160x120?fps=20"},
        {"name": "flood", "source": "test://160x120?fps=20", "delivery": "lossless", "realtime": False, "priority": 90},
    ]
    resource = parse_resource(document, "test")
    assert isinstance(resource, InferenceService)
    streams = build(resource).pipelines[0].streams
    assert [(each.name, each.delivery, each.realtime, each.priority) for each in streams] == [
        ("video", Delivery.LOSSLESS, False, 50),
        ("camera", Delivery.NEWEST, True, 50),
        ("flood", Delivery.LOSSLESS, False, 90),
    ]


def test_a_sink_is_written_as_it_is_declared_with_sizes_in_bytes():
    document = service_document()
    document["spec"]["sinks"] = [
        {"name": "file", "type": "file", "path": "/out.jsonl", "rotate": {"size": "64Mi"}},
        {
            "name": "broker",
            "type": "mqtt",
            "url": "mqtts://broker/x",
            "spool": {"size": "2Gi"},
            "tls": {"ca": "/ca.crt", "certificate": "/tls.crt", "key": "/tls.key"},
        },
        {"name": "hook", "type": "webhook", "url": "http://hooks/", "spool": {"size": "1Mi", "path": "/spool"}},
    ]
    resource = parse_resource(document, "test")
    assert isinstance(resource, InferenceService)
    tls = SinkTls(ca=Path("/ca.crt"), certificate=Path("/tls.crt"), key=Path("/tls.key"))
    spool = SpoolSpace(size_bytes=1 << 20, path=Path("/spool"))
    assert build(resource).pipelines[0].sinks == (
        DesiredSink(name="file", type="file", path=Path("/out.jsonl"), rotate=Rotation(size_bytes=64 << 20, keep=5)),
        DesiredSink(name="broker", type="mqtt", url="mqtts://broker/x", spool=SpoolSpace(size_bytes=2 << 30), tls=tls),
        DesiredSink(name="hook", type="webhook", url="http://hooks/", spool=spool),
    )


def test_what_a_camera_needs_is_written_with_it_and_its_credentials_are_only_named():
    document = service_document()
    document["spec"]["credentialsSecretName"] = "cams"
    document["spec"]["streams"] = [
        {"name": "door", "source": "rtsp://door/main", "transport": "udp", "timeout": "1500ms"},
        {"name": "yard", "source": "http://yard/motion"},
    ]
    declared = parse_resource(document, "test")
    assert isinstance(declared, InferenceService)
    (pipeline,) = build(declared).pipelines
    assert pipeline.credentials == "cams"
    assert [(each.transport, each.timeout_ms, each.delivery) for each in pipeline.streams] == [
        ("udp", 1500, Delivery.NEWEST),
        ("tcp", 5000, Delivery.NEWEST),
    ]


def test_what_is_declared_of_motion_is_written_with_its_stream_and_nothing_where_nothing_is():
    document = service_document()
    document["spec"]["streams"] = [
        {"name": "door", "source": "rtsp://door/main", "motion": {"change": "0.5%", "atLeastEvery": "1m"}},
        {"name": "hall", "source": "rtsp://hall/main", "motion": {}},
        {"name": "yard", "source": "rtsp://yard/main"},
    ]
    declared = parse_resource(document, "test")
    assert isinstance(declared, InferenceService)
    written = build(declared).to_json()
    door, hall, yard = DesiredState.parse(written).pipelines[0].streams
    assert door.motion == DesiredMotion(change=0.005, at_least_every_ms=60_000)
    assert hall.motion == DesiredMotion(change=0.01, at_least_every_ms=2000)
    assert yard.motion is None
    assert written.count("motion") == 2


def test_a_version_is_the_fallback_only_once_it_is_observed_serving():
    first = build(service())
    assert face(first).fallback is None
    served = build(service(), first, answer(first, "1", ONE))
    assert face(served).fallback == face(first).model.model_copy(update={"sha256": ONE})


def test_the_digest_of_what_served_is_pinned():
    first = build(service())
    served = build(service(), first, answer(first, "1", ONE))
    assert face(served).model.sha256 == ONE
    assert face(served).attempt == 1
    again = build(service(), served, answer(served, "1", ONE))
    assert same_content(served, again)


def test_a_new_version_keeps_the_old_one_as_fallback_until_it_serves():
    first = build(service())
    served = build(service(), first, answer(first, "1", ONE))
    edited = build(service("2"), served, answer(served, "1", ONE))
    assert (face(edited).model.version, face(edited).model.sha256, face(edited).attempt) == ("2", None, 2)
    assert face(edited).fallback is not None
    assert face(edited).fallback.version == "1"
    promoted = build(service("2"), edited, answer(edited, "2", TWO))
    assert face(promoted).fallback.version == "2"


def test_an_answer_to_an_older_document_promotes_nothing():
    first = build(service())
    served = build(service(), first, answer(first, "1", ONE))
    edited = build(service("2"), served, answer(served, "1", ONE))
    late = build(service("2"), edited, answer(edited, "2", TWO, generation=served.generation))
    assert face(late).fallback.version == "1"


def test_a_refused_version_is_not_promoted_and_not_tried_again():
    first = build(service())
    served = build(service(), first, answer(first, "1", ONE))
    edited = build(service("2"), served)
    refused = build(service("2"), edited, answer(edited, "1", ONE, refused="2"))
    assert same_content(edited, refused)


def test_another_engine_is_a_new_attempt_and_the_fallback_only_once_it_serves():
    first = build(service())
    served = build(service(), first, answer(first, "1", ONE))
    edited = build(service(engine="openvino"), served, answer(served, "1", ONE))
    assert (face(edited).model.engine, face(edited).attempt, face(edited).model.sha256) == ("openvino", 2, ONE)
    early = build(service(engine="openvino"), edited, answer(edited, "1", ONE, engine="torch"))
    assert face(early).fallback.engine == "auto"
    promoted = build(service(engine="openvino"), edited, answer(edited, "1", ONE, engine="openvino"))
    assert face(promoted).fallback == face(edited).model
    assert face(promoted).attempt == 2


def test_an_edit_away_and_back_is_a_new_attempt():
    first = build(service())
    served = build(service(), first, answer(first, "1", ONE))
    two = build(service("2"), served)
    one = build(service("1"), two)
    back = build(service("2"), one)
    assert [face(each).attempt for each in (served, two, one, back)] == [1, 2, 3, 4]
    assert face(one).model.sha256 == ONE


def test_another_declared_digest_is_a_new_attempt():
    first = build(service(sha256=ONE))
    assert face(build(service(sha256=ONE), first)).attempt == 1
    assert face(build(service(sha256=TWO), first)).attempt == 2
    assert face(build(service(), first)).attempt == 2
    assert face(build(service(), first)).model.sha256 is None


def test_another_service_of_the_name_begins_anew():
    first = build(service())
    served = build(service(), first, answer(first, "1", ONE))
    observed = answer(served, "1", ONE)
    other = desired_pipeline(service("2"), "other", plan([service("2")], {}, {})[KEY], served, observed)
    assert (other.modules[0].attempt, other.modules[0].fallback) == (1, None)


def test_in_another_instance_of_the_same_service_nothing_is_forgotten():
    first = build(service())
    served = build(service(), first, answer(first, "1", ONE))
    moved = served.model_copy(update={"instance_uid": "a runtime"})
    there = build(service("2"), moved, answer(moved, "1", ONE))
    assert face(there).attempt == 2
    assert face(there).fallback == face(served).fallback


def test_pipelines_stand_in_the_order_of_their_names():
    first = build(service()).pipelines[0]
    other = first.model_copy(update={"service": "cameras/hall"})
    assert same_content(desired_state("u", [first, other]), desired_state("u", [other, first]))


@given(st.lists(st.tuples(st.sampled_from(["1", "2", "3"]), st.booleans()), max_size=12))
def test_the_fallback_always_served_and_a_document_is_never_rewritten_for_nothing(
    edits: list[tuple[str, bool]],
) -> None:
    state: DesiredState | None = None
    served: set[str] = set()
    serving: str | None = None
    for version, works in edits:
        observed = None if state is None or serving is None else answer(state, serving, serving * 64)
        state = build(service(version), state, observed)
        if works or serving is None:
            serving = version
            served.add(version)
        observed = answer(state, serving, serving * 64, refused=None if serving == version else version)
        state = build(service(version), state, observed)
        assert same_content(state, build(service(version), state, answer(state, serving, serving * 64)))
        fallback = face(state).fallback
        assert fallback is None or fallback.version in served
