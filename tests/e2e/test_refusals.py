"""What cannot be used is refused by the API server, with a message that says what to do; where the server cannot know,
a condition says it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.invalid_profiles import INVALID_PROFILES
from support.invalid_resource import InvalidResource
from support.invalid_runtimes import INVALID_RUNTIMES
from support.invalid_services import INVALID_SERVICES
from support.kubectl import Kubectl, until
from support.site import KIND, Site

CLAIM = {"name": "lost", "persistentVolumeClaim": {"claimName": "lost"}}
SETTINGS = {"name": "lost", "configMap": {"name": "lost"}}
SAID: list[tuple[str, dict[str, Any], str, str, str]] = [
    (
        "a source on the machine of whoever wrote it",
        {"streams": [{"name": "door", "source": "file:door.mp4"}]},
        "Stalled",
        "InvalidDeclaration",
        "spec.streams[0].source: 'file:door.mp4' is relative; write file:///, and a path inside the instance",
    ),
    (
        "a store on the machine of whoever wrote it",
        {"models": {"store": "file:models"}},
        "Stalled",
        "InvalidDeclaration",
        "spec.models.store: 'file:models' is relative; write file:///, and a path inside the instance",
    ),
    (
        "a sink on the machine of whoever wrote it",
        {"sinks": [{"name": "events", "type": "file", "path": "events.jsonl"}]},
        "Stalled",
        "InvalidDeclaration",
        "spec.sinks[0].path: 'events.jsonl' is relative; write a path inside the instance's container",
    ),
    (
        "a node that there is not",
        {"template": {"nodeSelector": {"nowhere": "at-all"}}},
        "Ready",
        "NotRunning",
        "didn't match Pod's node affinity/selector",
    ),
    (
        "a claim that there is not",
        {"template": {"volumes": [CLAIM]}},
        "Ready",
        "NotRunning",
        'persistentvolumeclaim "lost" not found',
    ),
    (
        "a ConfigMap that there is not",
        {"template": {"volumes": [SETTINGS]}},
        "Ready",
        "NotRunning",
        "if that lasts, a volume or the image is missing, and `kubectl describe pod",
    ),
]


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("case", [*INVALID_SERVICES, *INVALID_RUNTIMES, *INVALID_PROFILES], ids=lambda case: case.name)
def test_an_invalid_resource_is_refused_with_a_message(namespace: Kubectl, case: InvalidResource) -> None:
    done = namespace.attempt("apply", "-f", "-", given=case.yaml)
    assert done.returncode != 0
    assert case.says in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("spec", "type_", "reason", "says"), [case[1:] for case in SAID], ids=[case[0] for case in SAID]
)
def test_what_the_server_cannot_know_is_said_by_a_condition(
    site: Site, spec: dict[str, Any], type_: str, reason: str, says: str
) -> None:
    site.declare("lobby", **spec)
    until(f"{type_} to say so", lambda: says in site.kubectl.condition(KIND, "lobby", type_).get("message", ""))
    assert site.kubectl.condition(KIND, "lobby", type_)["reason"] == reason
    assert site.kubectl.condition(KIND, "lobby", "Ready")["status"] == "False"


def test_models_and_objectives_that_cannot_be_had_are_said_by_conditions(site: Site) -> None:
    modules = [
        {"name": name, "model": {"name": model, "version": version}}
        for name, model, version in (("age", "age", "1"), ("gone", "age", "9"), ("broken", "age", "tampered"))
    ]
    site.declare("lobby", modules=modules, objective={"latency": "1ms"})
    until("the refusal", lambda: "broken: version tampered was refused" in message(site, "ModelsReady"))
    assert "copy the folder again; nothing serves" in message(site, "ModelsReady")
    # What is not there may come, so it is awaited.
    missing = re.compile(
        r"gone: version 9 is being fetched.*there is no version '9'; there are: 1, 2, nan, tampered; it is tried again"
    )
    until("what is missing", lambda: missing.search(message(site, "Reconciling")))
    until("age to serve", lambda: message(site, "Ready") == "Nothing serves yet: gone, broken.")
    site.declare("lobby", modules=modules[:2], objective={"latency": "1ms"})
    until("what is missing to be the reason", lambda: "gone: version 9" in message(site, "ModelsReady"))
    assert site.kubectl.condition(KIND, "lobby", "ModelsReady")["reason"] == "ModelUnavailable"
    site.declare("lobby", objective={"latency": "1ms"})
    until("a plan", lambda: "an objective of about" in message(site, "Feasible"))
    print(message(site, "Feasible"))


def message(site: Site, type_: str) -> str:
    return site.kubectl.condition(KIND, "lobby", type_).get("message", "")
