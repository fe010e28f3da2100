"""Resources on disk, one YAML file each: what was declared, with the status that was reported of it, and measurements.

A file that is damaged is as good as none: what it held is declared, or measured, again.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from framepilot.contract.document import DocumentError
from framepilot.resources.parse import Resource, parse_resource
from framepilot.resources.profile import ModelProfile
from framepilot_operator.cluster.desired_file import write_atomically
from framepilot_operator.cluster.registry import R, Record

FILE: Final = "framepilot.dev/declared-in"
CHANGED_AT: Final = "framepilot.dev/changed-at"

_log = logging.getLogger(__name__)


def file_name(key: str) -> str:
    """The name of a file or folder for `<namespace>/<name>`; neither part can hold a dot."""
    return key.replace("/", ".")


def read_declared(folder: Path, kind: type[R]) -> dict[str, Record[R]]:
    """Every stored resource of a kind by its key."""
    records: dict[str, Record[R]] = {}
    for path, resource in _resources(folder):
        if not isinstance(resource, kind):
            continue
        metadata = resource.metadata
        try:
            changed_at = float(metadata.annotations[CHANGED_AT])
            file = metadata.annotations[FILE]
        except (KeyError, ValueError) as error:
            _log.warning("%s is damaged and not used: annotation %s", path, error)
            continue
        if metadata.uid and metadata.generation:
            records[resource.key] = Record(resource, metadata.uid, metadata.generation, changed_at, file)
    return records


def write_declared(folder: Path, record: Record[R]) -> None:
    """Store a service or a runtime.

    Raises:
        OSError: it could not be written; what was stored before is untouched.
    """
    resource = record.resource
    metadata = resource.metadata.model_copy(
        update={
            "uid": record.uid,
            "generation": record.generation,
            "annotations": {
                **resource.metadata.annotations,
                FILE: record.file,
                CHANGED_AT: repr(record.changed_at),
            },
        }
    )
    _write(folder, resource.key, resource.model_copy(update={"metadata": metadata}))


def remove_declared(folder: Path, key: str) -> None:
    """Forget a service or a runtime.

    Raises:
        OSError: it could not be removed.
    """
    _path(folder, key).unlink(missing_ok=True)


def read_profiles(folder: Path) -> dict[str, ModelProfile]:
    """Every stored profile by its key."""
    return {resource.key: resource for _, resource in _resources(folder) if isinstance(resource, ModelProfile)}


def write_profile(folder: Path, profile: ModelProfile) -> None:
    """Store a profile.

    Raises:
        OSError: it could not be written; what was stored before is untouched.
    """
    _write(folder, profile.key, profile)


def _path(folder: Path, key: str) -> Path:
    return folder / f"{file_name(key)}.yaml"


def _write(folder: Path, key: str, resource: Resource) -> None:
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(resource.model_dump(mode="json", by_alias=True, exclude_none=True), text)
    write_atomically(_path(folder, key), text.getvalue())


def _resources(folder: Path) -> Iterator[tuple[Path, Resource]]:
    for path in sorted(folder.glob("*.yaml")):
        try:
            yield path, _read(path)
        except (YAMLError, DocumentError, OSError, UnicodeDecodeError) as error:
            _log.warning("%s is damaged and not used: %s", path, error)


def _read(path: Path) -> Resource:
    document: object = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    if not isinstance(document, Mapping):
        raise DocumentError(str(path), ["is not a mapping"])
    return parse_resource(document, str(path))
