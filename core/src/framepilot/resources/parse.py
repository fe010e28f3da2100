"""From a document that somebody wrote to a resource, or to sentences that say what is wrong with it."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from framepilot.contract.document import DocumentError, explain
from framepilot.resources.meta import API_VERSION
from framepilot.resources.profile import ModelProfile
from framepilot.resources.runtime import InferenceRuntime
from framepilot.resources.service import InferenceService

Resource = InferenceService | InferenceRuntime | ModelProfile

# One level: below it, aliases may have made a value larger than memory.
_SHOWN: Final = reprlib.Repr()
_SHOWN.maxlevel = 1

LARGEST: Final = 1 << 20
"""The most characters and values of a document; the API server takes no more than about so many bytes."""

_KINDS: Final[Mapping[str, type[InferenceService] | type[InferenceRuntime] | type[ModelProfile]]] = {
    "InferenceService": InferenceService,
    "InferenceRuntime": InferenceRuntime,
    "ModelProfile": ModelProfile,
}


def parse_resource(document: Mapping[str, object], where: str) -> Resource:
    """Read one resource, as strictly as `kubectl apply` does: no unknown field, no number for a text.

    Args:
        document: the document, as a YAML or JSON parser returns it.
        where: how to name the document in errors: a file, or a file and a position.

    Raises:
        DocumentError: it is no resource of Framepilot's, or one that breaks a rule; lists every problem.
    """
    api_version, kind = document.get("apiVersion"), document.get("kind")
    if api_version != API_VERSION:
        raise DocumentError(where, [f"apiVersion: {_found(api_version)}; write apiVersion: {API_VERSION}"])
    resource = _KINDS.get(kind) if isinstance(kind, str) else None
    if resource is None:
        raise DocumentError(where, [f"kind: {_found(kind)}; supported are {', '.join(_KINDS)}"])
    try:
        text = _json(document)
    except RecursionError as error:
        raise DocumentError(where, ["is nested too deeply; no resource needs more than ten levels"]) from error
    except ValueError as error:
        raise DocumentError(where, [str(error)]) from error
    try:
        return resource.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise DocumentError(where, explain(error)) from error


def _json(document: Mapping[str, object]) -> str:
    """The document as JSON, which is what a resource is: so text is never taken for a number, nor the reverse.

    Dates, which only YAML has, become text. In YAML an alias may repeat what it names, or contain itself, so the size
    is counted before anything is written out.

    Raises:
        ValueError: it cannot be written, or is too large.
    """
    size = 0
    unseen: list[object] = [document]
    while unseen:
        value = unseen.pop()
        if isinstance(value, Mapping):
            if strange := [key for key in value if not isinstance(key, str)]:
                raise ValueError(f"the key {_SHOWN.repr(strange[0])} is not text; put it in quotes")
            inside = [*value.keys(), *value.values()]
        else:
            inside = list(value) if isinstance(value, list | tuple) else []
        size += len(value) if isinstance(value, str) else 1 + len(inside)
        if size > LARGEST:
            raise ValueError(f"holds more than {LARGEST} characters and values once its aliases are written out")
        unseen += inside
    return json.dumps(document, default=str)


def _found(value: object) -> str:
    return "required, and missing" if value is None else f"{_SHOWN.repr(value)} is not known"
