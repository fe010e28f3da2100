"""Identities say what a value is made of, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot_app.graphs import aten
from framepilot_app.graphs.identity import Member, identify
from framepilot_app.graphs.operators import ALLOWED, unshareable
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, Program
from support.random_programs import CHANNELS, IMAGE, LETTERS, SIDE, member, parameters_of, words, write

CONV, RELU = ("conv", 0, 1), ("relu", 0, 0)


def of(word, prefix: str = "n", name: str = "p") -> Member:
    return member(name, *write(word, prefix))


@given(st.lists(LETTERS, max_size=8))
def test_names_do_not_matter(word) -> None:
    one, other = of(word, "x"), of(word, "y", "q")
    assert list(one.steps) == list(other.steps)
    assert one.outputs == other.outputs
    assert one.parameters == other.parameters


@settings(max_examples=40)
@given(words(2))
def test_equal_identities_are_equal_values(words_) -> None:
    batch = torch.randn(2, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    values: dict[str, torch.Tensor] = {}
    for index, word in enumerate(words_):
        program, weights = write(word, f"n{index}_")
        found = member("p", program, weights)
        for identity, step in found.steps.items():
            if not step.free:
                (value,) = aten.run(dataclasses.replace(program, outputs=(step.name,)), weights, batch)
                assert torch.equal(values.setdefault(identity, value), value)


def test_equal_names_with_other_contents_are_not_the_same() -> None:
    program, weights = write([CONV], "n")
    changed = {name: tensor.clone() for name, tensor in weights.items()}
    changed["nw0"].view(-1)[0] += 1e-6
    one, other = member("p", program, weights), member("p", program, changed)
    assert one.outputs != other.outputs
    assert len(one.parameters.keys() & other.parameters.keys()) == 1


def test_other_names_with_equal_contents_are_the_same() -> None:
    program, weights = write([CONV, CONV], "n")
    found = member("p", program, weights)
    assert len(weights) == 4
    assert len(found.parameters) == 2


def test_parameters_of_other_shape_or_type_are_not_the_same() -> None:
    same_bytes = [torch.zeros(4), torch.zeros(2, 2), torch.zeros(4, dtype=torch.int32)]
    digests = {parameters_of({"w": tensor})["w"].digest for tensor in same_bytes}
    assert len(digests) == 3


@pytest.mark.parametrize(
    "other",
    [
        [CONV, ("conv", 0, 2)],
        [CONV, ("depthwise", 0, 1)],
        [CONV, ("conv", 1, 1)],
        [RELU, ("conv", 0, 1)],
    ],
    ids=["contents", "groups", "input", "what is before"],
)
def test_whatever_makes_another_value_makes_another_identity(other) -> None:
    assert of([CONV, CONV]).outputs != of(other).outputs


@pytest.mark.parametrize("value", [1, 1.0, True])
def test_numbers_of_other_types_are_not_the_same(value: object) -> None:
    def with_argument(argument) -> tuple[str, ...]:
        nodes = (Node("n", "aten.add.Scalar", (NodeRef("image"), argument)),)
        return member("p", Program(IMAGE, nodes, ("n",), ()), {}).outputs

    assert with_argument(value) == with_argument(value)
    assert len({with_argument(each) for each in (1, 1.0, True)}) == 3


@pytest.mark.parametrize("image", [ImageInput("image", CHANNELS, SIDE, SIDE + 1), ImageInput("image", 3, SIDE, SIDE)])
def test_other_sizes_of_the_picture_are_not_the_same(image: ImageInput) -> None:
    relu = Node("n", "aten.relu.default", (NodeRef("image"),))
    one, other = (member("p", Program(taken, (relu,), ("n",), ()), {}) for taken in (IMAGE, image))
    assert one.picture != other.picture
    assert one.outputs != other.outputs


def test_what_is_computed_twice_is_there_once() -> None:
    assert len(of([("conv", 0, 1), ("conv", 1, 1), ("add", 1, 0)]).steps) == 2


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        ("aten.add_.Tensor", "in place"),
        ("aten.relu_.default", "in place"),
        ("aten.bernoulli.p", "random"),
        ("aten.dropout.default", "random"),
        ("aten.nonzero.default", "depends on values"),
        ("aten.masked_select.default", "depends on values"),
        ("aten.frobnicate.default", "not known"),
    ],
)
def test_an_operator_that_is_no_pure_function_is_shared_by_nobody(
    monkeypatch: pytest.MonkeyPatch, op: str, reason: str
) -> None:
    nodes = (Node("n", op, (NodeRef("image"),)), Node("after", "aten.relu.default", (NodeRef("n"),)))
    # No program may hold such an operator now: this is what happens should the list of allowed ones grow.
    monkeypatch.setattr("framepilot_app.graphs.program.ALLOWED", ALLOWED | {op})
    program = Program(IMAGE, nodes, ("after",), ())
    one, other = (identify(name, program, {}, "plain", frozenset()) for name in ("p", "q"))
    assert not one.steps.keys() & other.steps.keys()
    assert reason in next(iter(one.steps.values())).unshareable


def test_allowed_operators_are_shareable() -> None:
    assert [op for op in ALLOWED if unshareable(op)] == []
