"""A batch runs on the program of its size."""

from __future__ import annotations

import pytest
import torch

from framepilot_app.graphs.by_size import by_size
from support.fake_engine import FakeCompiled


def batch(size: int) -> torch.Tensor:
    return torch.zeros(size, 3, 4, 4)


@pytest.mark.parametrize(("size", "runs"), [(1, 0), (2, 1), (3, 1), (4, 1), (8, 0), (9, 0)])
def test_sizes_in_between_go_with_the_next_larger_one(size: int, runs: int) -> None:
    programs = FakeCompiled(), FakeCompiled()
    compiled = by_size({1: programs[0], 2: programs[1], 4: programs[1], 8: programs[0]})
    compiled(batch(size))
    for _ in compiled.steps(batch(size)):
        pass
    assert programs[runs].batches == [size, size]
    assert programs[1 - runs].batches == []


def test_one_program_for_all_sizes_is_that_program() -> None:
    program = FakeCompiled()
    assert by_size({1: program, 2: program}) is program


class Holding(FakeCompiled):
    @property
    def nbytes(self) -> int:
        return 8

    def held(self) -> tuple[tuple[object, int], ...]:  # type: ignore[override]
        return ((self, 8),)


def test_bytes_of_each_program_count_once() -> None:
    first, second = Holding(), Holding()
    compiled = by_size({1: first, 2: second, 4: first})
    assert compiled.nbytes == 16
    assert {holder for holder, _ in compiled.held()} == {first, second}
