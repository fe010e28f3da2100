"""A program is checked when it is made: whoever holds one can run it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.graphs.program import (
    MAX_BYTES,
    MAX_NODES,
    DType,
    ImageInput,
    MemoryFormat,
    Node,
    NodeRef,
    ParameterRef,
    Program,
    ProgramError,
)

IMAGE = ImageInput("image", 3, 8, 8)
SMALL = Program(
    IMAGE,
    (
        Node("clamped", "aten.clamp.default", (NodeRef("image"), 0.0, float("inf")), {}, (-1, 3, 8, 8)),
        Node("halves", "aten.chunk.default", (NodeRef("clamped"), 3, 1)),
        Node("half", "getitem", (NodeRef("halves"), 0)),
        Node("joined", "aten.cat.default", ((NodeRef("half"), NodeRef("clamped")), 1)),
        Node("copied", "aten._to_copy.default", (NodeRef("joined"),), {"dtype": DType("float32")}),
        Node("cloned", "aten.clone.default", (NodeRef("copied"),), {"memory_format": MemoryFormat("channels_last")}),
        Node("scaled", "aten.mul.Tensor", (NodeRef("cloned"), ParameterRef("scale"))),
    ),
    ("scaled", "half"),
    ("scale",),
)


def changed(change: Callable[[dict], None]) -> bytes:
    document = json.loads(SMALL.to_json())
    change(document)
    return json.dumps(document).encode()


def refusal(data: bytes) -> ProgramError:
    with pytest.raises(ProgramError) as caught:
        Program.parse(data)
    return caught.value


def test_round_trip_keeps_everything() -> None:
    assert Program.parse(SMALL.to_json()) == SMALL


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.builds(DType, st.text())
    | st.builds(MemoryFormat, st.text())
    | st.just(NodeRef("image"))
    | st.just(ParameterRef("weight"))
)
arguments = leaves | st.lists(leaves | st.lists(leaves, max_size=3).map(tuple), max_size=4).map(tuple)


@given(
    st.lists(arguments, max_size=5).map(tuple), st.dictionaries(st.text(min_size=1, max_size=9), arguments, max_size=3)
)
def test_any_argument_survives_a_round_trip(args: tuple, kwargs: dict) -> None:
    program = Program(IMAGE, (Node("node", "aten.relu.default", args, kwargs),), ("node",), ("weight",))
    assert Program.parse(program.to_json()) == program


def test_an_operator_outside_the_list_is_refused_by_name_and_place() -> None:
    error = refusal(changed(lambda d: d["nodes"][0].update(op="aten.from_file.default")))
    assert error.where == "clamped"
    assert "'aten.from_file.default' is not allowed" in error.what


@pytest.mark.parametrize(
    "op", ["aten.relu_.default", "os.system", "aten.relu", "aten.relu.out", "aten.rand.default", ""]
)
def test_operators_that_write_or_draw_or_do_not_exist_are_refused(op: str) -> None:
    refusal(changed(lambda d: d["nodes"][0].update(op=op)))


def test_a_batch_norm_may_not_train() -> None:
    norm = Node("norm", "aten.batch_norm.default", (NodeRef("image"), None, None, None, None, True, 0.1, 1e-5, False))
    with pytest.raises(ProgramError, match="norm: a batch norm in training mode"):
        Program(IMAGE, (norm,), ("norm",), ())


def test_a_reference_to_a_later_node_is_refused() -> None:
    error = refusal(changed(lambda d: d["nodes"][0]["args"].__setitem__(0, {"node": "scaled"})))
    assert (error.where, error.what) == ("clamped", "'scaled' is used before it is defined")


def test_a_node_may_not_take_itself() -> None:
    error = refusal(changed(lambda d: d["nodes"][0]["args"].__setitem__(0, {"node": "clamped"})))
    assert error.what == "'clamped' is used before it is defined"


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (lambda d: d["nodes"][0]["args"].__setitem__(0, {"node": "nobody"}), "clamped", "there is no node 'nobody'"),
        (lambda d: d.update(parameters=[]), "scaled", "there is no parameter 'scale'"),
        (lambda d: d.update(parameters=["scale", "scale"]), "parameters", "twice"),
        (lambda d: d["nodes"][2].update(name="clamped"), "clamped", "the name is used twice"),
        (lambda d: d["nodes"][0].update(name="image"), "image", "the name is used twice"),
        (lambda d: d["nodes"][6]["args"].__setitem__(0, {"node": "halves"}), "scaled", "'halves' is a list"),
        (lambda d: d["nodes"][2]["args"].__setitem__(0, {"node": "clamped"}), "half", "getitem takes what is none"),
        (lambda d: d.update(outputs=[]), "outputs", "there is no output"),
        (lambda d: d.update(outputs=["halves"]), "outputs", "'halves' is not a tensor"),
        (lambda d: d.update(outputs=["nobody"]), "outputs", "'nobody' is not a tensor"),
        (lambda d: d["input"].update(height=0), "input", "at least 1"),
        (lambda d: d["input"].update(height=True), "input", "expected a whole number"),
        (lambda d: d.update(schemaVersion=2), "program", "schemaVersion is 2, this app reads 1"),
        (lambda d: d.update(hooks=["x"]), "program", "missing or unknown fields: 'hooks'"),
        (lambda d: d["nodes"][0].pop("kwargs"), "nodes[0]", "missing or unknown fields: 'kwargs'"),
        (lambda d: d["nodes"][0].update(name=7), "nodes[0]", "expected a name"),
        (lambda d: d["nodes"][0].update(name="x" * 300), "nodes[0]", "expected a name"),
        (lambda d: d["nodes"][0].update(args={}), "clamped", "expected a list"),
        (lambda d: d["nodes"][0].update(kwargs=[]), "clamped", "expected an object"),
        (lambda d: d["nodes"][0].update(args=[{"code": "1"}]), "clamped", "is not an argument"),
        (lambda d: d["nodes"][0].update(args=[[[[[1]]]]]), "clamped", "is not an argument"),
        (lambda d: d["nodes"][0].update(shape=["x"]), "clamped", "expected a whole number"),
        (lambda d: d.update(nodes="x"), "nodes", "expected a list"),
        (lambda d: d.update(nodes=[1]), "nodes[0]", "expected an object"),
    ],
)
def test_a_tampered_program_is_refused_with_the_place(change: Callable[[dict], None], where: str, what: str) -> None:
    error = refusal(changed(change))
    assert error.where == where
    assert what in error.what
    assert error.remedy


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schemaVersion": 1}', SMALL.to_json()[:200]]
)
def test_what_is_not_a_program_is_refused(data: bytes) -> None:
    assert refusal(data).remedy


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(ProgramError):
        Program.parse(data)


def test_too_many_nodes_are_refused() -> None:
    node = {"name": "n", "op": "aten.relu.default", "args": [], "kwargs": {}, "shape": []}
    error = refusal(changed(lambda d: d.update(nodes=[node] * (MAX_NODES + 1))))
    assert f"more than {MAX_NODES}" in error.what


def test_an_oversized_file_is_refused_before_it_is_parsed() -> None:
    assert f"more than {MAX_BYTES}" in refusal(b" " * (MAX_BYTES + 1)).what
