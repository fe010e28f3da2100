"""Reads declared resources from YAML files, which may hold several documents.

What cannot be used becomes a `Problem` that says what to do; what stands beside it in the file is used all the same.
Relative `file:` paths mean the folder of the file that they stand in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from framepilot.contract.document import DocumentError
from framepilot.resources.parse import Resource, parse_resource
from framepilot.resources.service import InferenceService
from framepilot.resources.uris import absolute
from framepilot_operator.cluster.port import Problem

LARGEST_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Declarations:
    """What one file declares, and when it was written (Unix seconds; None where there is no file).

    `unreadable`: nothing can be said of its content.
    """

    file: Path
    written_at: float | None = None
    resources: tuple[Resource, ...] = ()
    problems: tuple[Problem, ...] = ()
    unreadable: bool = False

    @property
    def partial(self) -> bool:
        """Whether something in it is lost, so that what it declared before and does not now may still be meant."""
        nameless = any(problem.service is None for problem in self.problems)
        return self.unreadable or (nameless and self.written_at is not None)


def read_declarations(file: Path) -> Declarations:
    """What a file declares now; a file that does not exist declares nothing, and is a problem."""
    try:
        written_at = file.stat().st_mtime
        content = file.read_bytes()
    except FileNotFoundError:
        return Declarations(file, problems=(Problem(str(file), "there is no such file; what it declared is removed"),))
    except OSError as error:
        return _unreadable(file, f"cannot be read: {error.strerror}")
    return replace(_parsed(file, content), written_at=written_at)


# The loop looks once a second, and a file seldom changes.
@lru_cache(maxsize=256)
def _parsed(file: Path, content: bytes) -> Declarations:
    if len(content) > LARGEST_BYTES:
        return _unreadable(file, f"is too large: {len(content)} bytes, of at most {LARGEST_BYTES}")
    try:
        # YAML 1.2: `on` and `no` are text. Aliases are plain references, which the parser copies nowhere.
        documents: list[object] = list(YAML(typ="safe", pure=True).load_all(content.decode("utf-8")))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        return _unreadable(file, f"is not YAML{where}: {error.problem or error.context}")
    except (YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        return _unreadable(file, f"is not YAML: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    if all(document is None for document in documents):
        return _unreadable(file, "is empty; delete it to remove what it declared")
    resources: list[Resource] = []
    problems: list[Problem] = []
    for number, document in enumerate(documents, start=1):
        if document is None:
            continue
        where = str(file) if len(documents) == 1 else f"{file} (document {number})"
        if not isinstance(document, Mapping):
            problems.append(Problem(where, f"is a {type(document).__name__}; a resource is a mapping with apiVersion"))
            continue
        try:
            resources.append(_rooted(parse_resource(document, where), file))
        except DocumentError as error:
            problems.extend(Problem(where, sentence, _named(document)) for sentence in error.problems)
    return Declarations(file, resources=tuple(resources), problems=tuple(problems))


def _unreadable(file: Path, message: str) -> Declarations:
    return Declarations(file, problems=(Problem(str(file), message),), unreadable=True)


def _named(document: Mapping[str, object]) -> str | None:
    """The service that a broken document means, as far as that can be read."""
    metadata = document.get("metadata")
    if document.get("kind") != "InferenceService" or not isinstance(metadata, Mapping):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace", "default")
    return f"{namespace}/{name}" if isinstance(name, str) and isinstance(namespace, str) else None


def _rooted(resource: Resource, file: Path) -> Resource:
    """The resource with its relative paths put below the folder of its file."""
    if not isinstance(resource, InferenceService):
        return resource
    folder = PurePosixPath(file.absolute().parent)
    spec = resource.spec
    rooted = spec.model_copy(
        update={
            "streams": tuple(
                stream.model_copy(update={"source": absolute(stream.source, folder)}) for stream in spec.streams
            ),
            "models": spec.models.model_copy(update={"store": absolute(spec.models.store, folder)}),
            "sinks": tuple(sink.rooted(folder) for sink in spec.sinks),
        }
    )
    return resource.model_copy(update={"spec": rooted})
