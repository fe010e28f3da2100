"""What is declared, over time: the part of an API server that one machine needs.

A service or runtime gets a uid when it is first declared and keeps it over edits; every edit of its spec is a
generation. What was declared last is kept on disk with the status that was reported of it, so that a file which cannot
be used, even at the operator's start, harms nothing that runs. What is no longer declared goes after a short grace,
because editors replace a file by removing it and writing it anew.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from framepilot.resources.profile import ModelProfile
from framepilot.resources.runtime import InferenceRuntime, InferenceRuntimeStatus
from framepilot.resources.service import InferenceService, InferenceServiceStatus
from framepilot_operator.cluster.declarations import Declarations
from framepilot_operator.cluster.port import Problem

REMOVAL_GRACE_S: Final = 1.0

R = TypeVar("R", InferenceService, InferenceRuntime)


@dataclass(frozen=True, slots=True)
class Record(Generic[R]):
    """A service or a runtime as it was declared last.

    `file` is where; `changed_at` when its spec changed last, Unix seconds; `missing_since` when it was first found not
    to be declared any more, None while it is.
    """

    resource: R
    uid: str
    generation: int
    changed_at: float
    file: str
    missing_since: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Registry:
    """Every service and runtime that is declared, by `<namespace>/<name>`; profiles; what could not be used."""

    services: Mapping[str, Record[InferenceService]] = field(default_factory=dict)
    runtimes: Mapping[str, Record[InferenceRuntime]] = field(default_factory=dict)
    profiles: tuple[ModelProfile, ...] = ()
    problems: tuple[Problem, ...] = ()
    looked_at: float | None = None

    def reported(self, key: str, status: InferenceServiceStatus) -> Registry:
        """The registry after a status was reported of a service."""
        return replace(self, services={**self.services, key: _with_status(self.services[key], status)})

    def runtime_reported(self, key: str, status: InferenceRuntimeStatus) -> Registry:
        """The registry after a status was reported of a runtime."""
        return replace(self, runtimes={**self.runtimes, key: _with_status(self.runtimes[key], status)})


def updated(registry: Registry, files: Sequence[Declarations], now: float) -> Registry:
    """The registry after the files were read at `now`."""
    profiles: dict[str, ModelProfile] = {}
    for file in files:
        for resource in file.resources:
            if isinstance(resource, ModelProfile):
                profiles.setdefault(resource.key, resource)
    problems = [problem for file in files for problem in file.problems]
    services = _declared(files, InferenceService, problems)
    runtimes = _declared(files, InferenceRuntime, problems)
    partial = frozenset(str(file.file) for file in files if file.partial)
    broken = frozenset(problem.service for problem in problems if problem.service is not None)
    look = _Look(registry.looked_at, now, partial)
    return Registry(
        services=_followed(registry.services, services, look, broken),
        runtimes=_followed(registry.runtimes, runtimes, look, frozenset()),
        profiles=tuple(profiles.values()),
        problems=tuple(problems),
        looked_at=now,
    )


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at the files: when, when the one before was, and of which files a part is lost."""

    before: float | None
    now: float
    partial: frozenset[str]


def _with_status(record: Record[R], status: InferenceServiceStatus | InferenceRuntimeStatus) -> Record[R]:
    return replace(record, resource=record.resource.model_copy(update={"status": status}))


def _declared(
    files: Sequence[Declarations], kind: type[R], problems: list[Problem]
) -> dict[str, tuple[R, Declarations]]:
    """What the files declare of one kind, and where; what is declared twice is a problem."""
    declared: dict[str, tuple[R, Declarations]] = {}
    for file in files:
        for resource in file.resources:
            if not isinstance(resource, kind):
                continue
            if resource.key in declared:
                sentence = f"'{resource.key}' is declared already in {declared[resource.key][1].file}; remove one"
                service = resource.key if kind is InferenceService else None
                problems.append(Problem(str(file.file), sentence, service))
            else:
                declared[resource.key] = (resource, file)
    return declared


def _followed(
    before: Mapping[str, Record[R]],
    declared: Mapping[str, tuple[R, Declarations]],
    look: _Look,
    broken: frozenset[str],
) -> dict[str, Record[R]]:
    """The records of one kind after a look; `broken`: what is declared in a way that cannot be used."""
    after = {key: _recorded(before.get(key), resource, file, look) for key, (resource, file) in declared.items()}
    for key, record in before.items():
        if key in declared:
            continue
        if record.file in look.partial or key in broken:
            after[key] = replace(record, missing_since=None)
        elif (missing_since := _missing_since(record, look)) > look.now - REMOVAL_GRACE_S:
            after[key] = replace(record, missing_since=missing_since)
    return after


def _recorded(before: Record[R] | None, resource: R, file: Declarations, look: _Look) -> Record[R]:
    name = str(file.file)
    if before is None:
        return Record(resource, str(uuid.uuid4()), 1, look.now, name)
    resource = resource.model_copy(update={"status": before.resource.status})
    if resource.spec == before.resource.spec:
        return replace(before, resource=resource, file=name, missing_since=None)
    # A file may come with an old time of writing (a copy, a rename): then the edit was noticed now.
    written_at = file.written_at
    recent = look.before is not None and written_at is not None and look.before <= written_at <= look.now
    changed_at = written_at if recent and written_at is not None else look.now
    return Record(resource, before.uid, before.generation + 1, changed_at, name)


def _missing_since(record: Record[R], look: _Look) -> float:
    if record.missing_since is not None:
        return record.missing_since
    # At the first look nobody can be in the middle of saving: what is not declared is not wanted.
    return float("-inf") if look.before is None else look.now
