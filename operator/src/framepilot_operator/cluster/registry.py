"""What is declared, over time: the part of an API server that one machine needs.

A service gets a uid when it is first declared and keeps it over edits; every edit of its spec is a generation. What was
declared last is kept on disk with the status that was reported of it, so that a file which cannot be used, even at the
operator's start, harms nothing that runs. A service that is no longer declared goes after a short grace, because
editors replace a file by removing it and writing it anew.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from framepilot.resources.profile import ModelProfile
from framepilot.resources.service import InferenceService, InferenceServiceStatus
from framepilot_operator.cluster.declarations import Declarations
from framepilot_operator.cluster.port import Problem

REMOVAL_GRACE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """A service as it was declared last.

    `file` is where; `changed_at` when its spec changed last, Unix seconds; `missing_since` when it was first found not
    to be declared any more, None while it is.
    """

    resource: InferenceService
    uid: str
    generation: int
    changed_at: float
    file: str
    missing_since: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Registry:
    """Every service that is declared, by `<namespace>/<name>`; declared profiles; what could not be used."""

    services: Mapping[str, Record]
    profiles: tuple[ModelProfile, ...] = ()
    problems: tuple[Problem, ...] = ()
    looked_at: float | None = None

    def reported(self, key: str, status: InferenceServiceStatus) -> Registry:
        """The registry after a status was reported of a service."""
        record = self.services[key]
        resource = record.resource.model_copy(update={"status": status})
        return replace(self, services={**self.services, key: replace(record, resource=resource)})


def updated(registry: Registry, files: Sequence[Declarations], now: float) -> Registry:
    """The registry after the files were read at `now`."""
    declared: dict[str, tuple[InferenceService, Declarations]] = {}
    profiles: dict[str, ModelProfile] = {}
    problems = [problem for file in files for problem in file.problems]
    for file in files:
        for resource in file.resources:
            if isinstance(resource, ModelProfile):
                profiles.setdefault(resource.key, resource)
            elif resource.key in declared:
                first = declared[resource.key][1].file
                problems.append(
                    Problem(
                        str(file.file), f"'{resource.key}' is declared already in {first}; remove one", resource.key
                    )
                )
            else:
                declared[resource.key] = (resource, file)
    services: dict[str, Record] = {}
    for key, (resource, file) in declared.items():
        services[key] = _declared(registry.services.get(key), resource, file, registry.looked_at, now)
    partial = {str(file.file) for file in files if file.partial}
    broken = {problem.service for problem in problems}
    for key, record in registry.services.items():
        if key in declared:
            continue
        if record.file in partial or key in broken:
            services[key] = replace(record, missing_since=None)
        elif (missing_since := _missing_since(record, registry.looked_at, now)) > now - REMOVAL_GRACE_S:
            services[key] = replace(record, missing_since=missing_since)
    return Registry(services, tuple(profiles.values()), tuple(problems), now)


def _declared(
    before: Record | None, resource: InferenceService, file: Declarations, looked_at: float | None, now: float
) -> Record:
    name = str(file.file)
    if before is None:
        return Record(resource, str(uuid.uuid4()), 1, now, name)
    resource = resource.model_copy(update={"status": before.resource.status})
    if resource.spec == before.resource.spec:
        return replace(before, resource=resource, file=name, missing_since=None)
    # A file may come with an old time of writing (a copy, a rename): then the edit was noticed now.
    written_at = file.written_at
    recent = looked_at is not None and written_at is not None and looked_at <= written_at <= now
    changed_at = written_at if recent and written_at is not None else now
    return Record(resource, before.uid, before.generation + 1, changed_at, name)


def _missing_since(record: Record, looked_at: float | None, now: float) -> float:
    if record.missing_since is not None:
        return record.missing_since
    # At the first look nobody can be in the middle of saving: what is not declared is not wanted.
    return float("-inf") if looked_at is None else now
