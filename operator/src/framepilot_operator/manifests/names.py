"""What the objects of an instance are called, and the labels and annotations by which they are found again.

The objects of a service carry its name, so that a person finds them; which service they really belong to is the uid in
their owner reference, as a name may be given anew.
"""

from __future__ import annotations

import hashlib
from typing import Final

FIELD_MANAGER: Final = "framepilot"
MANAGED_BY: Final = "framepilot"
PART: Final = "inference-app"

NAME_LABEL: Final = "app.kubernetes.io/name"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
SERVICE_LABEL: Final = "framepilot.dev/service"
SELECTOR: Final = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
"""Selects the objects that the operator wrote."""

FINGERPRINT: Final = "framepilot.dev/manifest-hash"
"""On a Deployment: of what it and its Service were written from."""
OWNER_UID: Final = "framepilot.dev/service-uid"
"""On a pod: the uid of the service that it runs. A pod's own owner is a ReplicaSet, which does not tell."""
GENERATION: Final = "framepilot.dev/generation"
"""On a pod: the newest generation of its desired state. Changing it makes kubelet bring the pod's ConfigMap at once."""
NUDGE: Final = "framepilot.dev/nudge"
"""On a pod: when it was last told again; it means nothing but that the pod has changed."""

_LONGEST: Final = 63
_HASH_DIGITS: Final = 8


def object_name(service: str) -> str:
    """The name of a service's Deployment, ConfigMap and Service: a DNS label, so at most 63 characters."""
    name = f"framepilot-{service}"
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(service.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{name[: _LONGEST - _HASH_DIGITS - 1].rstrip('-')}-{digest}"


def selector_labels(service: str) -> dict[str, str]:
    """What tells the pods of one service from those of another. A Deployment can never change it."""
    return {NAME_LABEL: PART, INSTANCE_LABEL: object_name(service)}


def labels(service: str) -> dict[str, str]:
    """The labels of everything that belongs to the instance of a service."""
    return {**selector_labels(service), MANAGED_BY_LABEL: MANAGED_BY, SERVICE_LABEL: service}
