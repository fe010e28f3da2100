"""JSON schemas of a running API server's own types, as kubeconform reads them: nothing is fetched from elsewhere.

The server publishes its types as OpenAPI, one document for each group and version. kubeconform wants a file for each
kind, and is as strict as the schema is: an object that names its fields must admit no others.
https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from support.kubectl import Kubectl

FILE_NAMES = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""Of the files that are written, in kubeconform's words; for its option -schema-location, behind the folder."""


def write_schemas(kubectl: Kubectl, objects: Iterable[dict[str, Any]], folder: Path) -> None:
    """One file for each kind among these objects; none for a kind that the server does not know."""
    kinds = {(each["apiVersion"], each["kind"]) for each in objects}
    for api_version in {api_version for api_version, _ in kinds}:
        path = f"/openapi/v3/api{'s' if '/' in api_version else ''}/{api_version}"
        document = kubectl.attempt("get", "--raw", path)
        if document.returncode == 0:
            schemas = json.loads(document.stdout)["components"]["schemas"]
            for _, kind in (each for each in kinds if each[0] == api_version):
                _write(schemas, api_version, kind, folder)


def _write(schemas: dict[str, Any], api_version: str, kind: str, folder: Path) -> None:
    group, _, version = api_version.rpartition("/")
    wanted = {"group": group, "version": version, "kind": kind}
    (name,) = [name for name, schema in schemas.items() if wanted in schema.get("x-kubernetes-group-version-kind", [])]
    # Kubeconform shortens a group to its first word.
    suffix = "-".join(part.lower() for part in (kind, group.split(".", maxsplit=1)[0], version) if part)
    content = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": _strict(schemas)}}
    (folder / f"{suffix}.json").write_text(json.dumps(content))


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {"additionalProperties": False} if isinstance(node.get("properties"), dict) and "type" in node else {}
    return closed | {key: _strict(value) for key, value in node.items()}
