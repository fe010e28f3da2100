"""What an instance belongs to: a service that has one of its own, or a runtime that services share.

The instance has no name beside its owner's: it comes and goes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OwnerKind(StrEnum):
    """The kinds that own instances."""

    SERVICE = "InferenceService"
    RUNTIME = "InferenceRuntime"


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """A service or a runtime, which need not exist any more."""

    kind: OwnerKind
    namespace: str
    name: str

    @classmethod
    def service(cls, key: str) -> Owner:
        """The service of this `<namespace>/<name>`."""
        namespace, _, name = key.partition("/")
        return cls(OwnerKind.SERVICE, namespace, name)

    @classmethod
    def runtime(cls, key: str) -> Owner:
        """The runtime of this `<namespace>/<name>`."""
        namespace, _, name = key.partition("/")
        return cls(OwnerKind.RUNTIME, namespace, name)

    @property
    def key(self) -> str:
        """`<namespace>/<name>`, which a service and a runtime may both have."""
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        """As people read it."""
        return self.key if self.kind is OwnerKind.SERVICE else f"runtime {self.key}"
