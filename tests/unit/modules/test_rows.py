"""Rows of mixed batches: whoever asks gets the rows of its pictures, in its order, laid out as they were."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.modules.rows import Value, distinct, joined
from support.headed import picture

PICTURES = tuple(picture(value) for value in range(6))
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def value(rows: int, layout: torch.memory_format) -> Value:
    """Row n is full of n."""
    tensor = torch.arange(float(rows)).view(rows, 1, 1, 1).expand(rows, 2, 3, 4)
    return Value(tensor.contiguous(memory_format=layout), PICTURES[:rows])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.sampled_from(LAYOUTS))
def test_rows_are_given_by_picture_in_the_order_and_as_often_as_they_are_asked_for(wanted, layout) -> None:
    of = value(6, layout)
    assert of.has([PICTURES[row] for row in wanted])
    found = of.of([PICTURES[row] for row in wanted])
    assert found[:, 0, 0, 0].tolist() == wanted
    assert found.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("wanted", [[0], [2, 3], [0, 1, 2, 3]])
def test_rows_that_lie_side_by_side_are_not_copied(wanted: list[int]) -> None:
    of = value(4, torch.channels_last)
    found = of.of([PICTURES[row] for row in wanted])
    assert found.untyped_storage().data_ptr() == of.tensor.untyped_storage().data_ptr()


def test_a_value_has_not_what_another_batch_had() -> None:
    assert not value(3, torch.contiguous_format).has(PICTURES[2:4])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pieces_become_one_batch_laid_out_as_they_were(layout: torch.memory_format) -> None:
    whole = value(5, layout).tensor
    found = joined([whole[3:5], whole[:2]])
    assert found[:, 0, 0, 0].tolist() == [3, 4, 0, 1]
    assert found.is_contiguous(memory_format=layout)


def test_values_of_other_ranks_are_joined_as_they_are() -> None:
    assert joined([torch.ones(1, 3), torch.zeros(2, 3)]).shape == (3, 3)


def test_equal_pictures_are_one_only_if_they_are_the_same() -> None:
    same, other = picture(1), picture(1)
    assert distinct([same, other, same]) == (same, other)
