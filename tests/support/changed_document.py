"""A document with one change."""

from __future__ import annotations

from typing import Any

MISSING = object()
"""As a value: the field is taken away."""


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The document itself, changed at a path; a slash separates, because keys of Kubernetes have dots."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    node: Any = document
    for part in parents:
        node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
    if value is MISSING:
        del node[last]
    elif isinstance(node, list) and last == len(node):
        node.append(value)
    else:
        node[last] = value
    return document
