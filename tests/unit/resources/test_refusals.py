"""What cannot be used is refused by our own parser; the API server refuses the same (tests/e2e/test_refusals.py)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from framepilot.contract.document import DocumentError
from framepilot.resources.parse import parse_resource
from support.invalid_profiles import INVALID_PROFILES
from support.invalid_resource import InvalidResource
from support.invalid_runtimes import INVALID_RUNTIMES
from support.invalid_services import INVALID_SERVICES

CRDS = Path(__file__).parents[3] / "crds"


@pytest.mark.parametrize("case", [*INVALID_SERVICES, *INVALID_RUNTIMES, *INVALID_PROFILES], ids=lambda case: case.name)
def test_an_invalid_resource_is_refused_in_words_that_help(case: InvalidResource) -> None:
    with pytest.raises(DocumentError, match=re.escape(case.local_fragment)) as refused:
        parse_resource(case.document, "lobby.yaml")
    assert "secret@" not in str(refused.value)


@pytest.mark.parametrize(
    ("crd", "cases"),
    [
        ("inferenceservices", INVALID_SERVICES),
        ("inferenceruntimes", INVALID_RUNTIMES),
        ("modelprofiles", INVALID_PROFILES),
    ],
)
def test_each_rule_for_what_a_person_writes_is_broken_by_a_case(crd: str, cases: tuple[InvalidResource, ...]) -> None:
    definition = YAML(typ="safe").load((CRDS / f"{crd}.framepilot.dev.yaml").read_text(encoding="utf-8"))
    for version in definition["spec"]["versions"]:
        # A status is the operator's; the API server passes over one that stands in a declaration.
        version["schema"]["openAPIV3Schema"]["properties"].pop("status", None)
    messages = set(rule_messages(definition))
    assert messages
    assert [message for message in messages if not any(case.says in message for case in cases)] == []


def rule_messages(node: Any) -> Iterator[str]:
    """Those of all rules in CEL."""
    if isinstance(node, list):
        for each in node:
            yield from rule_messages(each)
    elif isinstance(node, dict):
        yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
        for each in node.values():
            yield from rule_messages(each)
