"""Declarations as the API server has them: when they changed, and which cannot be used."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from framepilot.resources.meta import ConditionStatus
from framepilot.resources.service import InferenceServiceStatus
from framepilot_operator.cluster.kube_declared import (
    HeldService,
    invalid_status,
    read_profile,
    read_runtime,
    read_service,
)
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.manifests.runtime import implicit_runtime
from support.resources import profile_document, runtime_document, service_document

CREATED = "2026-01-01T00:00:00Z"


def stored(document: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """The document as the API server would return it."""
    document["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 3, "creationTimestamp": CREATED}
    document["metadata"] |= metadata
    return document


def service(**spec: Any) -> dict[str, Any]:
    """A service without anything relative."""
    document = stored(service_document())
    document["spec"] |= {"streams": [{"name": "door", "source": "test://64x48"}], "sinks": [], **spec}
    return document


def writer(manager: str, time: str, fields: dict[str, Any], subresource: str = "") -> dict[str, Any]:
    return {"manager": manager, "time": time, "fieldsV1": fields, "subresource": subresource}


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_declaration_that_can_be_used_says_what_the_loop_needs() -> None:
    held = read_service(service())
    assert held.declared is not None
    assert (held.declared.key, held.declared.uid, held.declared.generation) == ("cameras/lobby", "u", 3)
    assert held.declared.changed_at == seconds(CREATED)


def test_it_changed_when_somebody_wrote_the_spec_last() -> None:
    document = service()
    document["metadata"]["managedFields"] = [
        writer("kubectl", "2026-01-01T00:00:00Z", {"f:spec": {}, "f:metadata": {}}),
        writer("framepilot", "2026-01-03T00:00:00Z", {"f:spec": {}}),
        writer("somebody", "2026-01-04T00:00:00Z", {"f:metadata": {"f:labels": {}}}),
        writer("framepilot", "2026-01-05T00:00:00Z", {"f:status": {}}, subresource="status"),
    ]
    declared = read_service(document).declared
    assert declared is not None
    assert declared.changed_at == seconds("2026-01-03T00:00:00Z")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"streams": [{"name": "door", "source": "file:door.mp4"}]}, ["spec.streams[0].source", "file:///"]),
        ({"models": {"store": "file:models"}}, ["spec.models.store", "file:///"]),
        ({"sinks": [{"name": "e", "type": "file", "path": "e.jsonl"}]}, ["spec.sinks[0].path", "/tmp"]),
        (
            {"sinks": [{"name": "e", "type": "stdout", "spool": {"size": "1Gi", "path": "spool"}}]},
            ["spec.sinks[0].spool.path", "/tmp"],
        ),
        (
            {"sinks": [{"name": "e", "type": "mqtt", "url": "mqtts://broker", "tls": {"ca": "ca.crt"}}]},
            ["spec.sinks[0].tls.ca", "/tmp"],
        ),
        ({"objective": {"latency": "soon"}}, ["spec.objective.latency", "soon"]),
        ({"fromTheFuture": 1}, ["spec.fromTheFuture", "unknown field"]),
        ({"models": None}, ["spec.models"]),
    ],
)
def test_a_declaration_that_cannot_be_used_says_where_and_what_to_do(spec: dict[str, Any], said: list[str]) -> None:
    held = read_service(service(**spec))
    assert held.declared is None
    assert [part for part in said if part not in str(held.problem)] == []
    assert held.metadata.key == "cameras/lobby"


@pytest.mark.parametrize("store", ["file:///models", "http://store/models"])
def test_absolute_places_can_be_used(store: str) -> None:
    sink = {"name": "e", "type": "file", "path": "/results/e.jsonl"}
    assert read_service(service(models={"store": store}, sinks=[sink])).problem is None


def test_what_another_version_of_the_operator_reported_is_no_reason_to_refuse_the_declaration() -> None:
    held = read_service(service() | {"status": {"observedGeneration": 2, "fromTheFuture": True}})
    assert held.declared is not None
    assert held.declared.resource.status == InferenceServiceStatus()


def test_what_was_reported_is_known_whether_the_declaration_can_be_used_or_not() -> None:
    reported = {"observedGeneration": 2, "instances": ["lobby"]}
    for held in (
        read_service(service() | {"status": reported}),
        read_service(service(models=None) | {"status": reported}),
    ):
        assert held.status.instances == ("lobby",)
        assert held.declared is None or held.declared.resource.status == held.status


def test_a_service_says_which_devices_an_instance_of_its_own_would_take() -> None:
    template = {"resources": {"limits": {"nvidia.com/gpu": 2, "memory": "4Gi"}}}
    declared = read_service(service(template=template)).declared
    assert declared is not None
    assert declared.devices == {"nvidia.com/gpu": 2}


def test_a_runtime_says_whether_the_operator_declared_it_and_for_whom() -> None:
    theirs = read_runtime(stored(runtime_document()))
    assert theirs.declared is not None
    assert (theirs.owner, theirs.declared.implicit) == (Owner.runtime("cameras/shared"), False)
    owners = [{"kind": "InferenceService", "name": name, "uid": f"uid of {name}"} for name in ("lobby", "hall")]
    labels = {"framepilot.dev/implicit": "true"}
    ours = read_runtime(stored(runtime_document(), labels=labels, ownerReferences=owners)).declared
    assert ours is not None
    assert (ours.implicit, ours.services) == (True, {"uid of lobby", "uid of hall"})


def test_what_the_operator_declares_is_read_as_it_was_meant() -> None:
    wanted = read_runtime(stored(runtime_document())).declared
    assert wanted is not None
    manifest = implicit_runtime(wanted.resource, {"lobby": "u1"})
    assert isinstance(manifest["metadata"], dict)
    read = read_runtime(stored(dict(manifest))).declared
    assert read is not None
    assert (read.resource.spec, read.implicit, read.services) == (wanted.resource.spec, True, {"u1"})


def test_a_runtime_that_cannot_be_used_says_why() -> None:
    document = stored(runtime_document())
    document["spec"]["fromTheFuture"] = 1
    held = read_runtime(document)
    assert (held.declared, held.template) == (None, None)
    assert "spec.fromTheFuture: unknown field" in str(held.problem)
    after = invalid_status(held.status, 3, str(held.problem), 5)
    assert {each.type: each.status.value for each in after.conditions} == {
        "Ready": "False",
        "Reconciling": "False",
        "Stalled": "True",
    }


def problem(held: HeldService, now: float = 5) -> InferenceServiceStatus:
    return invalid_status(held.status, held.metadata.generation, str(held.problem), now)


def test_a_problem_is_said_in_the_status_once() -> None:
    first = problem(read_service(service(models=None)))
    conditions = {condition.type: condition for condition in first.conditions}
    assert conditions["Stalled"].status is ConditionStatus.TRUE
    assert "spec.models" in conditions["Stalled"].message
    assert conditions["Ready"].status is ConditionStatus.FALSE
    assert first.observed_generation == 3
    document = service(models=None) | {"status": first.model_dump(mode="json", exclude_none=True)}
    assert problem(read_service(document), now=99) == first


def test_a_problem_leaves_what_is_said_of_the_instance_that_goes_on() -> None:
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "message": "Every module serves.",
        "lastTransitionTime": CREATED,
        "observedGeneration": 2,
    }
    status = {"observedGeneration": 2, "conditions": [ready], "modules": [{"name": "face", "serving": "1"}]}
    after = problem(read_service(service(models=None) | {"status": status}))
    conditions = {condition.type: condition for condition in after.conditions}
    assert (conditions["Ready"].status, conditions["Ready"].reason) == (ConditionStatus.TRUE, "Serving")
    assert conditions["Ready"].last_transition_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert after.modules[0].serving == "1"


def test_a_profile_is_known_to_be_the_operators_own_by_its_label() -> None:
    ours = read_profile(stored(profile_document(), labels={"framepilot.dev/measured": "true"}))
    theirs = read_profile(stored(profile_document()))
    assert ours.profile is not None
    assert theirs.profile is not None
    assert (ours.profile.measured, theirs.profile.measured) == (True, False)
    assert ours.profile.spec == theirs.profile.spec


def test_a_profile_that_cannot_be_used_says_why() -> None:
    document = stored(profile_document())
    document["spec"]["points"] = []
    held = read_profile(document)
    assert held.profile is None
    assert "spec.points" in str(held.problem)
