"""The desired-state document: what is refused, with which sentence, and how documents are ordered."""

from __future__ import annotations

import copy
import json

import pytest

from framepilot.contract.desired import DesiredState, Verdict, judge
from framepilot.contract.document import DocumentError

DOCUMENT = {
    "instanceUid": "u1",
    "generation": 7,
    "pipelines": [
        {
            "service": "cameras/lobby",
            "uid": "u1",
            "objectiveMs": 200,
            "streams": [{"name": "door", "source": "file:///door.mp4", "fps": 10, "delivery": "newest"}],
            "modules": [
                {
                    "name": "face",
                    "inputs": [],
                    "budgetMs": 90,
                    "batch": {"size": 8, "maxWaitMs": 15},
                    "model": {"name": "centerface", "version": "2", "uri": "file:///models/centerface/2"},
                },
                {
                    "name": "age",
                    "inputs": ["face"],
                    "where": {"minScore": 0.6},
                    "budgetMs": 60,
                    "batch": {"size": 16},
                    "model": {"name": "age", "version": "1", "uri": "file:///models/age/1"},
                },
            ],
            "sinks": [{"name": "events", "type": "stdout"}],
        }
    ],
}


def changed(path: str, value: object) -> str:
    document = copy.deepcopy(DOCUMENT)
    target = document
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in parents:
        target = target[part]
    target[last] = value
    return json.dumps(document)


def test_a_document_survives_the_way_to_disk_and_back():
    state = DesiredState.parse(json.dumps(DOCUMENT))
    assert DesiredState.parse(state.to_json()) == state
    assert '"maxWaitMs"' in state.to_json()


def test_a_document_that_says_nothing_of_a_reserve_reserves_nothing():
    assert DesiredState.parse(json.dumps(DOCUMENT)).pipelines[0].reserve == 0
    assert DesiredState.parse(changed("pipelines/0/reserve", 0.25)).pipelines[0].reserve == 0.25


def test_a_document_that_says_nothing_of_limits_limits_nothing():
    pipeline = DesiredState.parse(json.dumps(DOCUMENT)).pipelines[0]
    assert (pipeline.limit, pipeline.memory_limit_bytes, pipeline.time_limit_ms) == (1, None, None)


def test_limits_come_back_as_they_were_written():
    document = json.loads(json.dumps(DOCUMENT))
    document["pipelines"][0] |= {"limit": 0.3, "memoryLimitBytes": 2**20, "timeLimitMs": 12.5}
    written = DesiredState.parse(json.dumps(document))
    pipeline = DesiredState.parse(written.to_json()).pipelines[0]
    assert (pipeline.limit, pipeline.memory_limit_bytes, pipeline.time_limit_ms) == (0.3, 2**20, 12.5)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("pipelines/0/streams/0/colour", "red", "pipelines[0].streams[0].colour: unknown field; remove it"),
        ("pipelines/0/timeLimitMs", 0, "pipelines[0].timeLimitMs: Input should be greater than 0, got 0"),
        ("pipelines/0/modules", [], "pipelines[0].modules: Tuple should have at least 1 item"),
        ("pipelines/0/modules/0/batch/size", 0, "batch.size: Input should be greater than or equal to 1, got 0"),
        ("pipelines/0/modules/1/inputs", ["body"], "there is no module 'body'; there are: face, age"),
        ("pipelines/0/modules/0/inputs", ["age"], "'age' must come before 'face' (a later input would make a cycle)"),
        ("pipelines/0/modules/0/inputs", ["face"], "a module cannot be its own input"),
        (
            "pipelines",
            [*DOCUMENT["pipelines"], *DOCUMENT["pipelines"]],
            "pipelines: the name 'cameras/lobby' is used 2 times",
        ),
        ("pipelines/0/modules/1/name", "face", "modules: the name 'face' is used 2 times"),
        ("pipelines/0/reserve", 1, "pipelines[0].reserve: Input should be less than 1, got 1"),
        ("pipelines/0/reserve", -0.1, "pipelines[0].reserve: Input should be greater than or equal to 0, got -0.1"),
        ("pipelines/0/limit", 0, "pipelines[0].limit: Input should be greater than 0, got 0"),
        ("pipelines/0/modules/0/model", {"name": "a"}, "model.version: required, and missing"),
    ],
)
def test_a_bad_document_is_refused_with_the_place_and_the_reason(path, value, sentence):
    with pytest.raises(DocumentError) as error:
        DesiredState.parse(changed(path, value))
    assert sentence in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "not json", json.dumps(DOCUMENT)[:-20]])
def test_what_is_not_a_whole_document_is_refused(text):
    with pytest.raises(DocumentError, match="desired state"):
        DesiredState.parse(text)


def test_documents_are_ordered_by_uid_and_generation():
    current = DesiredState.parse(json.dumps(DOCUMENT))
    other = current.model_copy(update={"pipelines": ()})
    assert judge(None, current) is Verdict.ACCEPT
    assert judge(current, current.model_copy()) is Verdict.SAME
    assert judge(current, other) is Verdict.CONFLICT
    assert judge(current, other.model_copy(update={"generation": 8})) is Verdict.ACCEPT
    assert judge(current, other.model_copy(update={"generation": 6})) is Verdict.STALE
    assert judge(current, other.model_copy(update={"generation": 1, "instance_uid": "u2"})) is Verdict.ACCEPT
