"""What the objects of an instance are called, and the labels and annotations by which they are found again.

The objects carry their owner's name, so that a person finds them; whose they really are is the uid in their owner
reference, as a name may be given anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from framepilot_operator.manifests.owner import Owner, OwnerKind

FIELD_MANAGER: Final = "framepilot"
MANAGED_BY: Final = "framepilot"
PART: Final = "inference-app"

NAME_LABEL: Final = "app.kubernetes.io/name"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
OWNER_LABELS: Final = {
    OwnerKind.SERVICE: "framepilot.dev/service",
    OwnerKind.RUNTIME: "framepilot.dev/runtime",
}
IMPLICIT_LABEL: Final = "framepilot.dev/implicit"
"""On an InferenceRuntime that the operator declared."""
PRICE_LABEL: Final = "framepilot.dev/price-per-hour"
"""On a node: what one device of it costs an hour."""
SELECTOR: Final = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
"""Selects the objects that the operator wrote."""

FINGERPRINT: Final = "framepilot.dev/manifest-hash"
"""On a Deployment: of what it and its Service were written from."""
OWNER_UID: Final = "framepilot.dev/owner-uid"
"""On a pod: the uid of the owner of its instance. A pod's own owner is a ReplicaSet, which does not tell."""
GENERATION: Final = "framepilot.dev/generation"
"""On a pod: the newest generation of its desired state. Changing it makes kubelet bring the pod's ConfigMap at once."""
NUDGE: Final = "framepilot.dev/nudge"
"""On a pod: when it was last told again; it means nothing but that the pod has changed."""

_PREFIXES: Final = {OwnerKind.SERVICE: "framepilot", OwnerKind.RUNTIME: "inference-runtime"}
_LONGEST: Final = 63
_HASH_DIGITS: Final = 8


def object_name(owner: Owner) -> str:
    """The name of an instance's Deployment, ConfigMap and Service: a DNS label, so at most 63 characters."""
    name = f"{_PREFIXES[owner.kind]}-{owner.name}"
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(owner.name.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{name[: _LONGEST - _HASH_DIGITS - 1].rstrip('-')}-{digest}"


def selector_labels(owner: Owner) -> dict[str, str]:
    """What tells the pods of one instance from those of another. A Deployment can never change it."""
    return {NAME_LABEL: PART, INSTANCE_LABEL: object_name(owner)}


def labels(owner: Owner) -> dict[str, str]:
    """The labels of everything that belongs to an instance."""
    return {**selector_labels(owner), MANAGED_BY_LABEL: MANAGED_BY, OWNER_LABELS[owner.kind]: owner.name}


def owner_of(namespace: str, found: Mapping[str, str]) -> Owner | None:
    """The owner that the labels of an object name; None if they name none."""
    kind = next((kind for kind, label in OWNER_LABELS.items() if label in found), None)
    return None if kind is None else Owner(kind, namespace, found[OWNER_LABELS[kind]])
