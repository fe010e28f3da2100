"""An implicit InferenceRuntime, as the operator declares it.

Its owners are the services that share it, and none of them controls it: Kubernetes deletes it when the last of them is
gone, whether or not an operator is there.
https://kubernetes.io/docs/concepts/architecture/garbage-collection/#owners-dependents
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from framepilot.resources.meta import API_VERSION
from framepilot.resources.runtime import InferenceRuntime
from framepilot_operator.manifests.names import IMPLICIT_LABEL, MANAGED_BY, MANAGED_BY_LABEL
from framepilot_operator.manifests.owner import OwnerKind


def implicit_runtime(runtime: InferenceRuntime, services: Mapping[str, str]) -> dict[str, JsonValue]:
    """The object; `services` are the names and uids of those that share it."""
    return {
        "apiVersion": API_VERSION,
        "kind": runtime.kind,
        "metadata": {
            "name": runtime.metadata.name,
            "namespace": runtime.metadata.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY, IMPLICIT_LABEL: "true"},
            "ownerReferences": [
                {"apiVersion": API_VERSION, "kind": OwnerKind.SERVICE.value, "name": name, "uid": uid}
                for name, uid in sorted(services.items())
            ],
        },
        "spec": runtime.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }
