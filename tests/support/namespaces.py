"""Namespaces of tests: each takes pods of the restricted security standard only, as the operator's own does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.kubectl import Kubectl

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}


def restricted(name: str) -> dict[str, Any]:
    """A namespace that takes restricted pods only."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}


@contextmanager
def new_namespace(kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a new namespace; the namespace is removed afterwards."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    kubectl.apply(restricted(name))
    try:
        yield kubectl.within(name)
    finally:
        kubectl("delete", "namespace", name, "--wait=false")
