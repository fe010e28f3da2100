"""It is said what two programs share, where it ends, and why."""

from __future__ import annotations

import dataclasses

import pytest

from framepilot_app.graphs.costs import CostModel
from framepilot_app.graphs.difference import Difference, difference
from framepilot_app.graphs.program import Program
from support.random_programs import Letter, member, write

CONV, RELU = ("conv", 0, 1), ("relu", 0, 0)
STEM = [CONV, RELU, ("pool", 0, 0)]
KEEP_ALL = CostModel(bytes_per_s=1e30, call_s=0)


def between(
    first: list[Letter], second: list[Letter], costs: CostModel = KEEP_ALL, preprocessing: str = "plain"
) -> Difference:
    return difference(member("A", *write(first, "a")), member("B", *write(second, "b"), preprocessing), costs)


def reasons(found: Difference) -> list[tuple[str | None, str | None, str]]:
    return [(end.first, end.second, end.reason) for end in found.ends]


def test_equal_programs_have_all_in_common() -> None:
    found = between(STEM, STEM)
    assert found.ends == ()
    assert found.first == found.second
    assert found.first.nodes == found.first.all_nodes == found.shared_nodes == 3
    assert found.first.flops_share == 1
    assert found.saved_bytes == found.first.all_parameter_bytes > 0
    assert found.saved_flops > 0


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (("conv", 0, 1), ("conv", 0, 2), "parameters 'aw2' and 'bw2': other contents"),
        (("conv", 0, 0), ("sigmoid", 0, 0), "the operator: aten.convolution.default and aten.sigmoid.default"),
        (("hardtanh", 0, 0), ("hardtanh", 0, 1), "argument 2 of aten.hardtanh.default: 1 and 2"),
        (("conv", 0, 1), ("depthwise", 0, 1), "float32 4 x 4 x 3 x 3 and float32 4 x 1 x 3 x 3"),
        (("conv", 0, 0), ("conv", 0, 1), "other contents"),
    ],
)
def test_the_first_thing_that_differs_is_said(first: Letter, second: Letter, reason: str) -> None:
    found = between([*STEM, first], [*STEM, second])
    ((mine, theirs, said),) = reasons(found)
    assert (mine, theirs) == ("a3", "b3")
    assert reason in said
    assert found.shared_nodes == 3


def test_a_program_that_goes_on_alone_says_where() -> None:
    longer = [*STEM, ("sigmoid", 0, 0)]
    assert reasons(between(STEM, longer)) == [(None, "b3", "only B goes on here, with aten.sigmoid.default")]
    assert reasons(between(longer, STEM)) == [("a3", None, "only A goes on here, with aten.sigmoid.default")]


def test_what_is_fused_in_one_program_only_is_said() -> None:
    found = between([CONV, ("sigmoid", 0, 0)], [CONV, ("sigmoid", 0, 0), ("add", 1, 0)])
    assert ("a1", "b0", "what runs fused with it differs, and so does how it rounds") in reasons(found)


def test_other_pictures_are_said() -> None:
    assert "colours, mean, scale or resizing differ" in between(STEM, STEM, preprocessing="other").ends[0].reason
    program, weights = write([RELU], "b")
    wider = Program(dataclasses.replace(program.input, width=9), program.nodes, program.outputs, ())
    found = difference(member("A", *write([RELU], "a")), member("B", wider, weights))
    assert [end.reason for end in found.ends] == ["the pictures they take are not the same: 6 x 6 and 9 x 6"]


def test_what_is_equal_but_not_worth_sharing_is_said() -> None:
    found = between([*STEM, CONV], [*STEM, ("conv", 0, 2)], CostModel(call_s=1e9))
    assert found.shared_nodes == found.saved_flops == 0
    assert found.first.nodes == 3
    assert found.saved_bytes > 0
    assert "3 nodes from here are equal, but cheaper to compute by each" in found.ends[-1].reason
