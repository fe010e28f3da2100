"""A resource that must be refused: a valid one with one change, and what a person has to read about it.

It is for both who refuse, the API server and our own parser, so that a rule that stands only in the types, or only in
the CRD, is found. The two say most things in the same words; where they do not (what the schema itself refuses), there
is a fragment for each.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from support.changed_document import changed


@dataclass(frozen=True)
class InvalidResource(ABC):
    """The value at `path` is the change. `says` and `says_locally` are parts of the messages."""

    name: str
    path: str
    value: object
    says: str
    says_locally: str | None = None

    @abstractmethod
    def valid(self) -> dict[str, Any]:
        """The resource without the change; fresh at every call."""

    @property
    def document(self) -> dict[str, Any]:
        """The resource as a YAML parser returns it."""
        return changed(self.valid(), self.path, self.value)

    @property
    def yaml(self) -> str:
        """The resource as a person writes it."""
        yaml, text = YAML(typ="safe", pure=True), io.StringIO()
        yaml.default_flow_style = False
        yaml.dump(self.document, text)
        return text.getvalue()

    @property
    def local_fragment(self) -> str:
        """What our own parser must say."""
        return self.says if self.says_locally is None else self.says_locally
