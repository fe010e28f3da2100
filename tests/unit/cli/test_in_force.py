from __future__ import annotations

import pytest

from framepilot.resources.service import InferenceService
from framepilot.rollouts.state import RolloutState
from framepilot_operator.cluster.port import DeclaredService, Instance
from framepilot_operator.commands.in_force import Outcome, judge
from framepilot_operator.commands.service_view import ServiceView, view
from framepilot_operator.edit import Edit
from framepilot_operator.status import Facts, service_status
from support import snapshots as make

BATCH = Edit(make.SERVICE, "face", 8)
AUTO = Edit(make.SERVICE, "face", "auto")
VERSION = Edit(make.SERVICE, "face", None, "2")


def service(resource: InferenceService, instance: Instance | None, generation: int = 2, **facts) -> ServiceView:
    """A service with the status that the operator reports of it."""
    declared = DeclaredService(resource, uid="u", generation=generation, changed_at=0)
    status = service_status(Facts(declared, instance=instance, **facts), now=0)
    document = resource.model_copy(update={"status": status}).model_dump(mode="json", by_alias=True, exclude_none=True)
    document["metadata"]["generation"] = 2
    return view(document)


def instance(size: int = 8, version: str = "1", rollout=None, told: int = 2, **fields) -> Instance:
    state = make.observed(told, [make.module(size, version=version, rollout=rollout)])
    return Instance(make.OWNER, make.UID, desired=make.desired(2), observed=state, running=True, **fields)


TELLING = "The instance is being told of what is declared now."
FIXED = make.resource({"mode": "Fixed", "size": 8})
NEWER = make.resource(version="2")


@pytest.mark.parametrize(
    ("found", "edit", "outcome", "sentence"),
    [
        (service(FIXED, instance(8)), BATCH, Outcome.IN_FORCE, "version 1, batch 8"),
        (service(FIXED, instance(4)), BATCH, Outcome.WAITING, "batch 4 is in force"),
        (
            service(FIXED, instance(8), generation=1),
            BATCH,
            Outcome.WAITING,
            "the operator has not looked at the change yet; does it run?",
        ),
        # It was 8 before, and is 8 again: that it still runs with 8 says nothing.
        (
            service(FIXED, instance(8, told=1)),
            BATCH,
            Outcome.WAITING,
            TELLING,
        ),
        (
            service(FIXED, instance(8), pending=True),
            BATCH,
            Outcome.WAITING,
            TELLING,
        ),
        (service(FIXED, None), BATCH, Outcome.WAITING, TELLING),
        (service(make.resource(), instance(5)), AUTO, Outcome.IN_FORCE, "version 1, batch 5"),
        (
            service(make.resource({"mode": "Fixed", "size": 9}), instance(8)),
            BATCH,
            Outcome.REPLACED,
            "somebody else has declared batch 9 meanwhile",
        ),
        (service(NEWER, instance(version="2")), VERSION, Outcome.IN_FORCE, "version 2, batch 8"),
        (
            service(NEWER, instance(rollout=make.rollout(RolloutState.LOADING, "2", 0))),
            VERSION,
            Outcome.WAITING,
            "face: version 2 is being loaded and checked.",
        ),
        (
            service(NEWER, instance(rollout=make.rollout(RolloutState.REFUSED, "2", 0, reason="wrong digest"))),
            VERSION,
            Outcome.REFUSED,
            "face: version 2 was refused: wrong digest; version 1 goes on serving",
        ),
        # The refusal of an attempt before this one.
        (
            service(NEWER, instance(rollout=make.rollout(RolloutState.REFUSED, "2", 0), told=1)),
            VERSION,
            Outcome.WAITING,
            TELLING,
        ),
        (
            service(NEWER, instance(), problem="no store"),
            VERSION,
            Outcome.REFUSED,
            "InvalidDeclaration: The newest declaration is not used, the one before is in force: no store",
        ),
        (service(make.resource(), instance()), VERSION, Outcome.REPLACED, "somebody else has declared version 1"),
        (
            service(FIXED, instance()),
            Edit(make.SERVICE, "age", 8),
            Outcome.REPLACED,
            "the module age was taken out of the service",
        ),
    ],
)
def test_a_change_is_judged_by_what_the_operator_reports(found, edit, outcome, sentence):
    verdict = judge(found, edit)
    assert verdict.outcome is outcome
    assert verdict.sentence.startswith(sentence)


def test_another_modules_refusal_does_not_matter():
    refused = instance(rollout=make.rollout(RolloutState.REFUSED, "1", 0, reason="wrong digest"))
    assert judge(service(FIXED, refused), BATCH).outcome is Outcome.IN_FORCE


def test_a_service_that_nobody_has_reported_on_is_waited_for():
    document = FIXED.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"status"})
    document["metadata"]["generation"] = 2
    assert judge(view(document), BATCH).outcome is Outcome.WAITING
