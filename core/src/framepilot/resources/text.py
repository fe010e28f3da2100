"""Text with a form: one pattern and one sentence that explains it, for Python and for the CRD alike.

A failed `pattern` in a CRD prints the raw expression, so here a pattern becomes a CEL rule with a message. Patterns
keep to what Python's `re` and RE2 have in common, and hold neither quotes nor backslashes, so that they can stand in a
CEL string as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

RULES: Final = "x-kubernetes-validations"


def rules(*pairs: tuple[str, str]) -> JsonDict:
    """CEL rules as keywords of a CRD: each an expression, and the sentence to say when it is false."""
    return {RULES: [{"rule": rule, "message": message} for rule, message in pairs]}


def list_map(key: str) -> JsonDict:
    """Keywords of a list whose entries are told apart by one field."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def list_atomic() -> JsonDict:
    """Keywords of a list that is written as a whole: its entries have nothing that tells them apart."""
    return {"x-kubernetes-list-type": "atomic"}


def list_set() -> JsonDict:
    """Keywords of a list in which nothing stands twice."""
    return {"x-kubernetes-list-type": "set"}


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a text, as metadata of its type: `Annotated[str, Form(...)]`.

    `pattern` must match from end to end; `expected` completes the sentence "'<text>' is not ...".
    """

    pattern: str
    expected: str
    max_length: int

    def matches(self, field: str) -> str:
        """The CEL expression that is true if a field has this form."""
        return f"{field}.matches('^({self.pattern})$')"

    def check(self, text: str) -> str:
        """The text itself.

        Raises:
            ValueError: it is too long, or does not have this form.
        """
        if len(text) > self.max_length:
            raise ValueError(f"{len(text)} characters are too many; at most {self.max_length} are allowed")
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(f"{_shown(text)!r} is not {self.expected}")
        return text

    def __get_pydantic_core_schema__(self, source: type[str], handler: GetCoreSchemaHandler) -> CoreSchema:
        formed = core_schema.no_info_after_validator_function(self.check, handler(source))
        return core_schema.no_info_before_validator_function(refuse_scalars, formed)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {
            "maxLength": self.max_length,
            **rules((self.matches("self"), f"must be {self.expected}")),
        }


def _shown(text: str) -> str:
    # A URL may hold credentials; an error message never does.
    text = re.sub("//.*@", "//***@", text)
    return text if len(text) <= 80 else f"{text[:77]}..."


def refuse_scalars(value: object) -> object:
    """The value itself.

    Raises:
        ValueError: it is a number or a truth value where text belongs.
    """
    # YAML reads `version: 1` as a number and `name: on` as a truth value.
    if isinstance(value, bool | int | float):
        raise ValueError(f"{value!r} is not text; put it in quotes")  # noqa: TRY004 - pydantic reads ValueErrors
    return value


Name = Annotated[
    str,
    Form(
        "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
        "a name: lower-case letters, digits and '-' between them, at most 63",
        63,
    ),
]
Version = Annotated[
    str,
    Form(
        "[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
        "a version: letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 63",
        63,
    ),
]
Digest = Annotated[str, Form("[0-9a-f]{64}", "a sha256 digest: 64 lower-case hexadecimal digits", 64)]
DEVICE_CLASS: Final = Form(
    "[a-z0-9]([-a-z0-9._]{0,61}[a-z0-9])?",
    "a device class such as cpu or nvidia-t4: lower-case letters, digits, '-', '.' and '_', at most 63",
    63,
)
DeviceClass = Annotated[str, DEVICE_CLASS]
ObjectName = Annotated[
    str,
    Form(
        "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
        "the name of an object: lower-case letters, digits, '-' and '.' between them, at most 253",
        253,
    ),
]
FilePath = Annotated[str, Form(".+", "a path of one line", 1024)]
