"""Which changes of a condition become a Kubernetes Event, and of which kind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from framepilot.resources.meta import Condition, ConditionStatus
from framepilot.resources.service import InferenceServiceStatus
from framepilot_operator.manifests.events import Regarding, condition_events
from framepilot_operator.manifests.owner import Owner

LOBBY = Regarding(Owner.service("cameras/lobby"), "u")


def status(*conditions: str, message: str = "why") -> InferenceServiceStatus:
    """Conditions as `Type=Status:Reason`."""
    found = []
    for text in conditions:
        type_, _, rest = text.partition("=")
        value, _, reason = rest.partition(":")
        found.append(
            Condition(
                type=type_,
                status=ConditionStatus(value),
                reason=reason,
                message=message,
                last_transition_time=datetime(2026, 1, 1, tzinfo=UTC),
                observed_generation=1,
            )
        )
    return InferenceServiceStatus(conditions=tuple(found))


def events(before: InferenceServiceStatus, after: InferenceServiceStatus, now: float = 0) -> list[Any]:
    return list(condition_events(LOBBY, before.conditions, after.conditions, "operator-1", now))


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        # A start that goes as it should
        (None, "Ready=False:NoInstance", None),
        ("Ready=False:NoInstance", "Ready=False:NotRunning", None),
        ("Ready=False:NotServing", "Ready=True:Serving", "Normal"),
        (None, "Stalled=False:Progressing", None),
        (None, "Feasible=Unknown:NotMeasured", None),
        ("Feasible=Unknown:NotMeasured", "Feasible=True:Planned", "Normal"),
        (None, "ModelsReady=Unknown:NotObserved", None),
        # A change that works
        ("Reconciling=False:UpToDate", "Reconciling=True:Applying", None),
        ("Reconciling=True:Applying", "Reconciling=False:UpToDate", None),
        ("ModelsReady=True:Serving", "ModelsReady=False:RollingOut", None),
        ("ModelsReady=False:RollingOut", "ModelsReady=True:Serving", "Normal"),
        (None, "ObjectiveMet=Unknown:NotMeasured", None),
        ("ObjectiveMet=Unknown:NotMeasured", "ObjectiveMet=True:Met", None),
        ("ObjectiveMet=True:Met", "ObjectiveMet=Unknown:NotMeasured", None),
        ("ObjectiveMet=False:Missed", "ObjectiveMet=True:Met", "Normal"),
        # What a person must act on
        ("ObjectiveMet=True:Met", "ObjectiveMet=False:Missed", "Warning"),
        ("Ready=True:Serving", "Ready=False:NotRunning", "Warning"),
        ("Reconciling=False:UpToDate", "Reconciling=True:Retrying", "Warning"),
        ("ModelsReady=False:RollingOut", "ModelsReady=False:ModelRefused", "Warning"),
        ("Feasible=True:Planned", "Feasible=False:ObjectiveTooShort", "Warning"),
        (None, "Stalled=True:InvalidDeclaration", "Warning"),
        ("Stalled=False:Progressing", "Stalled=True:DesiredStateRefused", "Warning"),
        # and that it is over
        ("Stalled=True:InvalidDeclaration", "Stalled=False:Progressing", "Normal"),
        ("Feasible=False:ObjectiveTooShort", "Feasible=True:Planned", "Normal"),
        # Another condition says it
        ("Stalled=False:Progressing", "Stalled=True:ModelRefused", None),
        (None, "Ready=False:InvalidDeclaration", None),
    ],
)
def test_a_person_hears_of_what_matters(before: str | None, after: str, kind: str | None) -> None:
    found = events(status(*([] if before is None else [before])), status(after))
    assert [event["type"] for event in found] == ([] if kind is None else [kind])


def test_another_message_alone_is_no_event() -> None:
    one = status("Feasible=False:ObjectiveTooShort", message="about 310 ms could be held")
    other = status("Feasible=False:ObjectiveTooShort", message="about 320 ms could be held")
    assert events(one, other) == []


def test_an_event_can_be_written_however_long_its_message_and_names_its_service() -> None:
    (event,) = events(status(), status("Stalled=True:InvalidDeclaration", message="ä" * 4000), now=1.5)
    assert len(event["note"].encode()) <= 1024
    assert event["eventTime"] == "1970-01-01T00:00:01.500000Z"
    assert event["metadata"]["namespace"] == event["regarding"]["namespace"] == "cameras"
    assert (event["regarding"]["kind"], event["regarding"]["uid"]) == ("InferenceService", "u")
    assert (event["reason"], event["reportingInstance"]) == ("InvalidDeclaration", "operator-1")


def test_the_same_event_at_another_time_is_another_event() -> None:
    names = {
        events(status(), status("Stalled=True:InvalidDeclaration"), now)[0]["metadata"]["name"] for now in (1, 2, 2)
    }
    assert len(names) == 2
