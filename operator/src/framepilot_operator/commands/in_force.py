"""Whether a change of one module is in force, as the service's status says. Pure.

The status of an earlier declaration, and of an instance that was not told yet, says nothing about the change: a batch
size that is set back to what runs still would look as if it had been reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from framepilot_operator.commands.service_view import AUTO, ModuleView, ServiceView
from framepilot_operator.edit import Edit

# Reasons of Reconciling with which the instance does not have the newest desired state.
UNTOLD: Final = frozenset({"Applying", "Retrying", "Starting"})


class Outcome(StrEnum):
    """What became of a change so far."""

    WAITING = "waiting"
    IN_FORCE = "in force"
    REFUSED = "refused"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a change, and why, or what it runs with now."""

    outcome: Outcome
    sentence: str


def judge(service: ServiceView, edit: Edit) -> Verdict:
    """What a service's status says of an edit that was made in its declaration."""
    declared = service.module(edit.module)
    if declared is None:
        return Verdict(Outcome.REPLACED, f"the module {edit.module} was taken out of the service")
    if instead := _declared_instead(service, declared, edit):
        return Verdict(Outcome.REPLACED, f"somebody else has declared {instead} meanwhile")
    if not service.seen:
        return Verdict(Outcome.WAITING, "the operator has not looked at the change yet; does it run?")
    if refusal := _refusal(service, edit):
        return Verdict(Outcome.REFUSED, refusal)
    reconciling = service.condition("Reconciling")
    under_way = "" if reconciling is None or reconciling.status == "False" else reconciling.message
    if reconciling is None or (under_way and reconciling.reason in UNTOLD):
        return Verdict(Outcome.WAITING, under_way or "the operator has not reported yet")
    return _in_force(service, edit, under_way)


def _declared_instead(service: ServiceView, declared: ModuleView, edit: Edit) -> str | None:
    batch = service.batching_of(declared).declared
    if edit.batch is not None and batch != str(edit.batch):
        return f"batch {batch}"
    version = declared.model.version
    return f"version {version}" if edit.model_version not in {None, version} else None


def _refusal(service: ServiceView, edit: Edit) -> str | None:
    stalled = service.condition("Stalled")
    why = "" if stalled is None else stalled.message
    if stalled is not None and stalled.status == "True" and stalled.reason != "ModelRefused":
        return f"{stalled.reason}: {why}"
    reconciling = service.condition("Reconciling")
    told = reconciling is not None and (reconciling.status == "False" or reconciling.reason not in UNTOLD)
    # Another module's refusal is not this change's.
    if told and edit.model_version is not None and service.reported(edit.module).refused == edit.model_version:
        models = service.condition("ModelsReady")
        return (models.message if models else "") or why or f"{edit.module}: version {edit.model_version} was refused"
    return None


def _in_force(service: ServiceView, edit: Edit, under_way: str) -> Verdict:
    reported = service.reported(edit.module)
    if edit.model_version is not None and (reported.serving != edit.model_version or reported.candidate is not None):
        return Verdict(Outcome.WAITING, under_way or f"version {reported.serving or 'none'} serves")
    if reported.batch is None or (edit.batch not in {None, AUTO} and reported.batch != edit.batch):
        return Verdict(Outcome.WAITING, under_way or f"batch {reported.batch or 'none'} is in force")
    return Verdict(Outcome.IN_FORCE, f"version {reported.serving or 'none'}, batch {reported.batch}")
