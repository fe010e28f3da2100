"""`model.yaml` as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.document import DocumentError
from framepilot_app.models.spec import ModelSpec, PackSpec, parse_spec

GOOD = b"""
name: age
version: "1"
licence: MIT
input: {width: 64, height: 64}
output: {task: classification, labels: [young, old]}
"""


def test_a_spec_is_read() -> None:
    spec = parse_spec(PackSpec, GOOD, "spec.yaml")
    assert (spec.name, spec.version, spec.output.task) == ("age", "1", "classification")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + b"colour: red\n", "colour: unknown field"),
        (GOOD.replace(b'"1"', b"1"), "version: Input should be a valid string"),
        (GOOD.replace(b'"1"', b'".."'), "version: "),
        (GOOD.replace(b"classification", b"poetry"), "output: "),
        (GOOD + b"licence: BSD\n", "found duplicate key"),
        (b"name: [", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"", "valid dictionary"),
        (b"[" * 20_000, "nested too deeply"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "aliases"),
        (b"name: !!python/object/apply:os.system [ls]\n", "not YAML"),
        (b"name: 2001-99-99\n", "out of range"),
        (b"name: " + b"9" * 5000, "out of range"),
        (b"name: 0x" + b"f" * 5000, "name"),
        (b"schemaVersion: 2" + GOOD, "schemaVersion: "),
    ],
)
def test_what_is_wrong_with_a_spec_is_said(text: bytes, says: str) -> None:
    with pytest.raises(DocumentError) as refused:
        parse_spec(PackSpec, text, "spec.yaml")
    assert "spec.yaml" in str(refused.value)
    assert says in str(refused.value)


@given(st.one_of(st.binary(max_size=300), st.text("[]{}&*!:-?|>'\"#% \n\tab0x", max_size=300).map(str.encode)))
def test_no_text_raises_anything_but_a_document_error(text: bytes) -> None:
    with pytest.raises(DocumentError):
        parse_spec(ModelSpec, text, "model.yaml")
