from __future__ import annotations

from pathlib import Path

import pytest

from framepilot_operator.cluster.desired_file import read_desired, store_next, write_atomically
from support.snapshots import desired


def test_each_write_is_the_next_generation(tmp_path: Path) -> None:
    path = tmp_path / "desired.json"
    assert [store_next(path, desired(generation=99), 0).generation for _ in range(3)] == [1, 2, 3]
    assert read_desired(path) == desired(generation=3)


def test_a_generation_that_is_known_from_elsewhere_is_exceeded(tmp_path: Path) -> None:
    assert store_next(tmp_path / "desired.json", desired(), 7).generation == 8


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "desired.json"
    path.write_text("{half")
    assert store_next(path, desired(), 4).generation == 5
    assert read_desired(path) == desired(generation=5)


def test_there_may_be_no_file(tmp_path: Path) -> None:
    assert read_desired(tmp_path / "desired.json") is None


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "desired.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
