from __future__ import annotations

import datetime
from typing import Any

import pytest

from framepilot.contract.document import DocumentError
from framepilot.resources.parse import parse_resource
from framepilot.resources.profile import ModelProfile
from framepilot.resources.service import InferenceService
from support.changed_document import MISSING, changed
from support.resources import profile_document, service_document


def refusal(document: dict[str, Any]) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse_resource(document, "lobby.yaml")
    return caught.value


def test_each_kind_becomes_its_own_type() -> None:
    assert isinstance(parse_resource(service_document(), "lobby.yaml"), InferenceService)
    assert isinstance(parse_resource(profile_document(), "lobby.yaml"), ModelProfile)


def test_metadata_of_the_api_server_is_let_through() -> None:
    document = service_document()
    document["metadata"] |= {
        "creationTimestamp": datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC),
        "managedFields": [{"manager": "kubectl"}],
        "uid": "4d8a",
        "generation": 3,
        "labels": {"site": "north"},
    }
    metadata = parse_resource(document, "lobby.yaml").metadata
    assert (metadata.uid, metadata.generation, metadata.labels) == ("4d8a", 3, {"site": "north"})


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("apiVersion", MISSING, "apiVersion: required, and missing; write apiVersion: framepilot.dev/v1alpha1"),
        ("apiVersion", "v1", "apiVersion: 'v1' is not known; write apiVersion: framepilot.dev/v1alpha1"),
        (
            "kind",
            MISSING,
            "kind: required, and missing; supported are InferenceService, InferenceRuntime, ModelProfile",
        ),
        ("kind", "Pod", "kind: 'Pod' is not known; supported are InferenceService, InferenceRuntime, ModelProfile"),
        ("kind", ["x"], "kind: ['x'] is not known; supported are InferenceService, InferenceRuntime, ModelProfile"),
        ("metadata", MISSING, "metadata: required, and missing"),
        (
            "metadata/name",
            "Lobby 1",
            "metadata.name: 'Lobby 1' is not a name: lower-case letters, digits and '-' between them, at most 63",
        ),
        ("metadata/name", "a" * 64, "metadata.name: 64 characters are too many; at most 63 are allowed"),
        ("spec/rollout", {}, "spec.rollout: unknown field; remove it or check its spelling"),
        ("specs", {}, "specs: unknown field; remove it or check its spelling"),
        ("spec/modules/1/where/min_score", "5%", "spec.modules[1].where.min_score: unknown field; remove it"),
        ("spec/modules", MISSING, "spec.modules: required, and missing"),
        ("spec/modules", [], "spec.modules: the pipeline is empty; list at least one module"),
        ("spec/streams", [], "spec.streams: there is no stream; list at least one"),
        ("spec/modules/0/inputs", ["age"], "spec.modules[0] ('face').inputs: 'age' must come before 'face' (a later"),
        ("spec/modules/1/inputs", ["age"], "spec.modules[1] ('age').inputs: a module cannot be its own input"),
        ("spec/modules/1/inputs", ["fase"], "spec.modules[1] ('age').inputs: there is no module 'fase'; there are: fa"),
        ("spec/modules/1/inputs", ["face", "face"], "spec.modules[1] ('age').inputs: takes one input, got 2"),
        ("spec/modules/1/name", "face", "spec.modules: the name 'face' is used 2 times"),
        (
            "spec/streams/1",
            {"name": "door", "source": "file:x.mp4"},
            "spec.streams: the name 'door' is used 2 times",
        ),
        ("spec/sinks/1", {"name": "events", "type": "stdout"}, "spec.sinks: the name 'events' is used 2 times"),
        (
            "spec/modules/0/where",
            {"minScore": "60%"},
            "spec.modules[0]: where selects detections of an input; add inputs, or remove where",
        ),
        (
            "spec/modules/1/where/minScore",
            "0.6",
            "spec.modules[1].where.minScore: '0.6' is not a percent; write a number from 0 to 100 and a percent sign",
        ),
        ("spec/modules/0/model/version", 1, "spec.modules[0].model.version: 1 is not text; put it in quotes"),
        ("spec/modules/0/model/version", "..", "spec.modules[0].model.version: '..' is not a version: letters, digits"),
        ("spec/modules/0/model/sha256", "ABC", "spec.modules[0].model.sha256: 'ABC' is not a sha256 digest: 64 lower"),
        ("spec/batching", {"min": 8, "max": 4}, "spec.batching: min 8 is larger than max 4; raise max or lower min"),
        (
            "spec/modules/0/batching",
            {"min": 64},
            "spec.modules[0].batching: min 64 is larger than max 32; raise max or lower min",
        ),
        ("spec/batching", {"mode": "Fixed"}, "spec.batching: mode Fixed needs size; add it, or write mode: Auto"),
        ("spec/batching", {"size": 8}, "spec.batching: size is for mode Fixed; remove it, or write mode: Fixed"),
        ("spec/batching/max", 257, "spec.batching.max: Input should be less than or equal to 256, got 257"),
        ("spec/batching/mode", "auto", "spec.batching.mode: Input should be 'Auto' or 'Fixed', got 'auto'"),
        (
            "spec/objective/latency",
            "fast",
            "spec.objective.latency: 'fast' is not a duration above 0; write a number and one of the units ms, s, m",
        ),
        ("spec/objective/latency", 200, "spec.objective.latency: 200 is not text; put it in quotes"),
        ("spec/objective", MISSING, "spec.objective: required, and missing"),
        ("spec/streams/0/fps", "10", "spec.streams[0].fps: Input should be a valid integer, got '10'"),
        ("spec/streams/0/fps", 0, "spec.streams[0].fps: Input should be greater than or equal to 1, got 0"),
        ("spec/streams/0/loop", "yes", "spec.streams[0].loop: Input should be a valid boolean, got 'yes'"),
        ("spec/models/store", "s3://models", "spec.models.store: 's3://models' is not a supported store; write file:"),
        ("spec/sinks/0/path", MISSING, "spec.sinks[0]: a sink of type file needs path, such as path: results.jsonl"),
        (
            "spec/sinks/0/type",
            "stdout",
            "spec.sinks[0]: path is for a sink of type file; remove it, or write type: file",
        ),
        (
            "spec/sinks/0/type",
            "kafka",
            "spec.sinks[0].type: Input should be 'stdout', 'file', 'mqtt' or 'webhook', got",
        ),
    ],
)
def test_what_is_wrong_with_a_service_is_said_in_one_sentence(path: str, value: object, sentence: str) -> None:
    error = refusal(changed(service_document(), path, value))
    assert len(error.problems) == 1
    assert str(error).startswith(f"lobby.yaml: {sentence}")


@pytest.mark.parametrize(
    "source",
    [
        "ftp://camera/main",
        "rtsp://camera/main#1",
        "rtsp:///main",
        "http://cam era/",
        "device:///home/video0",
        "videos/door.mp4",
        "file://videos/door.mp4",
        "file:",
        "file:a?b",
        "test://640",
        "test://640x360?fps=x",
    ],
)
def test_a_source_that_is_not_supported_is_told_which_are(source: str) -> None:
    error = refusal(changed(service_document(), "spec/streams/0/source", source))
    expected = (
        "write rtsp://host/path, http://host/path, device:///dev/video0, file:///absolute/path, "
        "file:relative/path or test://640x360?fps=25&frames=500"
    )
    assert error.problems == (f"spec.streams[0].source: '{source}' is not a supported source; {expected}",)


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://camera/main",
        "rtsps://camera.site:322/h264?channel=1&subtype=0",
        "http://10.0.0.7:8080/mjpg/video.mjpg",
        "https://camera/live/index.m3u8",
        "http://camera/cgi?user={username}&pwd={password}",
        "device:///dev/video0",
        "device:///dev/v4l/by-id/usb-Cam_1.0-index0",
        "rtsp://camera/main@2",
    ],
)
def test_sources_that_cameras_have_are_accepted(source: str) -> None:
    parse_resource(changed(service_document(), "spec/streams/0/source", source), "lobby.yaml")


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://user:s3cret@camera/main",
        "rtsp://user:s3/cr3t@camera/main",
        "rtsp://user:s3#cr3t@camera/main",
        "rtsp://user@camera/main",
        "http://camera/cgi?user=a&password=s3cret",
        "http://camera/cgi?Token=s3cret&x=1",
    ],
)
def test_a_source_with_credentials_is_refused_and_does_not_show_them(source: str) -> None:
    error = refusal(changed(service_document(), "spec/streams/0/source", source))
    for secret in ("s3cret", "s3/cr3t", "s3#cr3t", "user:"):
        assert secret not in str(error)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("spec/points", [], "spec.points: the profile is empty; list at least one batch size"),
        ("spec/points/1/batch", 1, "spec.points: the name 'batch 1' is used 2 times"),
        ("spec/points/0/p50", "20ms", "spec.points[0]: p50 20ms is longer than p99 15ms; a median never is"),
        ("spec/points/0/p50", 12.5, "spec.points[0].p50: 12.5 is not text; put it in quotes"),
        ("spec/points/0/p99", "15", "spec.points[0].p99: '15' is not a duration above 0; write a number and one of"),
        (
            "spec/deviceClass",
            "NVIDIA T4",
            "spec.deviceClass: 'NVIDIA T4' is not a device class such as cpu or nvidia-t4",
        ),
        ("status", {}, "status: unknown field; remove it or check its spelling"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said_in_one_sentence(path: str, value: object, sentence: str) -> None:
    error = refusal(changed(profile_document(), path, value))
    assert len(error.problems) == 1
    assert str(error).startswith(f"lobby.yaml: {sentence}")


def test_every_problem_is_listed() -> None:
    document = changed(service_document(), "spec/objective/latency", "fast")
    error = refusal(changed(document, "spec/streams/0/url", "x"))
    assert [problem.split(":")[0] for problem in error.problems] == ["spec.streams[0].url", "spec.objective.latency"]


def test_an_alias_that_contains_itself_is_refused() -> None:
    document = service_document()
    document["metadata"]["annotations"] = document
    assert "once its aliases are written out" in str(refusal(document))


def test_aliases_that_multiply_are_refused_before_they_are_written_out() -> None:
    bomb: list[Any] = ["x" * 1000]
    for _ in range(40):
        bomb = [bomb, bomb, bomb]
    assert "once its aliases are written out" in str(refusal(changed(service_document(), "metadata/note", bomb)))
    assert len(str(refusal(changed(service_document(), "kind", bomb)))) < 1000


def test_a_nesting_that_is_too_deep_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert "is nested too deeply" in str(refusal(changed(service_document(), "metadata/note", deep)))


def test_a_key_that_is_not_text_is_refused() -> None:
    document = service_document()
    document["metadata"]["labels"] = {datetime.date(2026, 11, 23): "x"}
    assert "is not text; put it in quotes" in str(refusal(document))
