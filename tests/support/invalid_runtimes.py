"""Runtimes that must be refused: what is wrong with the template of a service is wrong with that of a runtime."""

from __future__ import annotations

from typing import Any

from support.invalid_resource import InvalidResource
from support.invalid_services import INVALID_SERVICES, valid_service
from support.resources import runtime_document


class InvalidRuntime(InvalidResource):
    """A runtime that uses every field of `template`, with one change."""

    def valid(self) -> dict[str, Any]:
        document = runtime_document()
        del document["metadata"]["namespace"]
        document["spec"]["template"] = valid_service()["spec"]["template"]
        return document


INVALID_RUNTIMES = (
    *(
        InvalidRuntime(case.name, case.path, case.value, case.says, case.says_locally)
        for case in INVALID_SERVICES
        if case.path.startswith(("metadata/", "spec/template/"))
    ),
    InvalidRuntime(
        "a volume in upper case",
        "spec/template/volumes/2/name",
        "Keys",
        "must be a name: lower-case letters, digits and '-' between them, at most 63",
        "'Keys' is not a name: lower-case letters, digits and '-' between them, at most 63",
    ),
)
