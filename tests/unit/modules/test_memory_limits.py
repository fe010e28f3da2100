"""The memory that a process may use, as control groups of both versions and the machine say it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from framepilot.contract.observed import MemoryKind
from framepilot_app.modules.headroom import Room
from framepilot_app.modules.memory_limits import host_rooms, rooms
from support.memory_tree import GIB, MIB, MemoryTree


def limits(tree: MemoryTree) -> list[tuple[int, int]]:
    """Limit and use of what is found, MiB, in the order of the groups."""
    return [(room.limit // MIB, room.used // MIB) for room in host_rooms(tree.proc, tree.cgroups)]


def test_a_group_says_its_limit_and_pages_of_files_that_nobody_has_mapped_are_free(tmp_path: Path):
    tree = MemoryTree(tmp_path, group="/pod")
    tree.group("/pod", limit=500 * MIB, used=300 * MIB, inactive_file=60 * MIB, active_file=50 * MIB, mapped=20 * MIB)
    expected = Room(MemoryKind.HOST, 500 * MIB, 210 * MIB, "memory.max of its control group")
    assert host_rooms(tree.proc, tree.cgroups) == (expected,)


def test_parents_limit_it_as_well_and_the_tightest_comes_first(tmp_path: Path):
    tree = MemoryTree(tmp_path, group="/pods/pod/container")
    tree.group("/pods", limit=4 * GIB, used=2 * GIB)
    tree.group("/pods/pod", limit=None, used=MIB)
    tree.group("/pods/pod/container", limit=3 * GIB, used=100 * MIB)
    tree.group("/elsewhere", limit=MIB, used=MIB)
    assert limits(tree) == [(3072, 100), (4096, 2048)]
    assert [room.limit // MIB for room in rooms(torch.device("cpu"), tree.proc, tree.cgroups)] == [4096, 3072]


def test_a_limit_that_is_raised_is_seen(tmp_path: Path):
    tree = MemoryTree(tmp_path, group="/pod")
    tree.group("/pod", limit=500 * MIB, used=300 * MIB)
    assert limits(tree) == [(500, 300)]
    tree.group("/pod", limit=700 * MIB, used=300 * MIB)
    assert limits(tree) == [(700, 300)]


def test_in_a_container_whose_path_is_the_hosts_its_group_is_what_is_mounted(tmp_path: Path):
    tree = MemoryTree(tmp_path, group="/kubepods/burstable/pod1/abc")
    tree.group("/", limit=500 * MIB, used=300 * MIB)
    assert limits(tree) == [(500, 300)]


def test_groups_of_version_1_have_other_files(tmp_path: Path):
    tree = MemoryTree(tmp_path, group="/docker/abc", version=1)
    tree.group("/docker/abc", limit=500 * MIB, used=300 * MIB, inactive_file=100 * MIB)
    tree.group("/docker", limit=None, used=300 * MIB)
    (found,) = host_rooms(tree.proc, tree.cgroups)
    assert (found.limit, found.used) == (500 * MIB, 200 * MIB)
    assert found.limited_by == "memory.limit_in_bytes of its control group"


def test_without_a_limit_of_a_group_it_is_the_machines_memory(tmp_path: Path):
    tree = MemoryTree(tmp_path, group="/pod", total=8 * GIB, available=3 * GIB)
    assert limits(tree) == [(8192, 5120)]
    tree.group("/pod", limit=None, used=GIB)
    assert limits(tree) == [(8192, 5120)]
    tree.group("/pod", limit=9 * GIB, used=GIB)
    assert limits(tree) == [(8192, 5120)], "more than the machine has is no limit"


def test_where_nobody_says_there_is_no_limit(tmp_path: Path):
    assert host_rooms(tmp_path / "nothing", tmp_path / "nothing") == ()
    tree = MemoryTree(tmp_path, group="/pod")
    tree.group("/pod", limit=500 * MIB, used=300 * MIB)
    (tree.cgroups / "pod" / "memory.current").write_text("much\n")
    (tree.proc / "meminfo").unlink()
    assert limits(tree) == []


def test_of_a_gpu_what_torch_keeps_for_its_next_tensors_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * GIB, 8 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 3 * GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: GIB)
    gpu = Room(MemoryKind.GPU, 8 * GIB, 4 * GIB, "the GPU's memory")
    assert rooms(torch.device("cuda"), tmp_path, tmp_path) == (gpu,)


def test_a_gpu_that_does_not_answer_has_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def lost(_: torch.device) -> tuple[int, int]:
        raise RuntimeError("CUDA error: device lost")

    monkeypatch.setattr(torch.cuda, "mem_get_info", lost)
    assert rooms(torch.device("cuda"), tmp_path, tmp_path) == ()
