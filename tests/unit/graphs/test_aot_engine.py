"""AOTInductor: a program compiled to a library means the same, and where it cannot be compiled the reason says why."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from framepilot.contract.desired import Engine
from framepilot_app.graphs import aot_form, aot_writer, aten
from framepilot_app.graphs.aot_engine import ENGINE
from framepilot_app.graphs.aot_form import AOT_INDUCTOR
from framepilot_app.graphs.engine import Compiled, EngineError
from framepilot_app.graphs.export import Exported, from_module
from framepilot_app.graphs.fold import fold
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, Program
from framepilot_app.graphs.program_form import UNFIT
from framepilot_app.modules.rivals import asked
from support.networks import Residual, finish, largest_difference
from support.torch_threads import torch_threads

IMAGE = ImageInput("image", 4, 6, 6)
SHAPE = (3, 16, 24)
pytestmark = pytest.mark.timeout(600)
needs_compiler = pytest.mark.skipif(ENGINE.missing() is not None, reason=ENGINE.missing() or "")


def write(folder: Path, program: Program, weights: Mapping[str, torch.Tensor]) -> tuple[Path, int, str]:
    """Run the writer: the file it is to write, its status, and what it said last."""
    program_file, weights_file, target = folder / "program.json", folder / "weights.safetensors", folder / "program.so"
    program_file.write_bytes(program.to_json())
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, weights_file)
    command = [sys.executable, "-m", AOT_INDUCTOR.writer, str(program_file), str(weights_file), str(target)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return target, ran.returncode, ran.stdout.rpartition("\n")[2]


@pytest.fixture(scope="session")
def exported() -> Exported:
    torch.manual_seed(0)
    return from_module(Residual(), torch.randn(1, *SHAPE))


@pytest.fixture(scope="session")
def library(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aot")
    target, status, said = write(folder, *fold(exported.program, exported.weights))
    assert status == 0, said
    assert sorted(path.name for path in folder.iterdir()) == ["program.json", "program.so", "weights.safetensors"]
    return target


@pytest.fixture
def compiled(exported: Exported, library: Path) -> Compiled:
    return ENGINE.open_model(library, exported.program.input, torch.get_num_threads())


@needs_compiler
def test_a_network_agrees_at_every_batch_size_in_any_order(compiled: Compiled, exported: Exported) -> None:
    for size in (1, 3, 16, 2, 5):
        batch = torch.randn(size, *SHAPE)
        expected = aten.run(exported.program, exported.weights, batch)
        found = compiled(batch)
        assert [output.shape for output in found] == [output.shape for output in expected]
        assert largest_difference(found, expected) < 1e-4
        channels_last = batch.to(memory_format=torch.channels_last)
        assert largest_difference(finish(compiled.steps(channels_last)), expected) < 1e-4
    assert compiled.nbytes >= sum(tensor.nbytes for tensor in exported.weights.values())


@needs_compiler
def test_a_result_stays_what_it_is_when_the_next_batch_runs(compiled: Compiled) -> None:
    first = compiled(torch.ones(2, *SHAPE))
    before = [output.clone() for output in first]
    compiled(torch.zeros(2, *SHAPE))
    assert all(map(torch.equal, first, before))


@needs_compiler
def test_batches_and_results_are_freed(compiled: Compiled) -> None:
    def held_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    outputs = compiled(torch.randn(64, *SHAPE))
    before, batch_bytes = held_bytes(), sum(output.nbytes for output in outputs)
    for _ in range(200):
        compiled(torch.randn(64, *SHAPE))
    assert held_bytes() - before < 50 * batch_bytes


@needs_compiler
def test_two_of_one_library_do_not_need_each_other(exported: Exported, library: Path, compiled: Compiled) -> None:
    batch = torch.randn(2, *SHAPE)
    expected = compiled(batch)
    other = ENGINE.open_model(library, exported.program.input, 1)
    del compiled
    assert largest_difference(other(batch), expected) == 0


@needs_compiler
def test_a_batch_that_the_program_does_not_take_is_refused(compiled: Compiled) -> None:
    with pytest.raises(EngineError, match="the program takes N x 3 x 16 x 24, float32"):
        compiled(torch.zeros(2, 3, 6, 6))


@needs_compiler
def test_other_threads_go_on_while_a_batch_runs(compiled: Compiled) -> None:
    """With so long an interval another thread has its turn only when the interpreter is let go."""
    interval, turns, running = sys.getswitchinterval(), [], threading.Event()
    # In another format it would be copied, and torch lets go of the interpreter for that.
    batch = torch.randn(64, *SHAPE).to(memory_format=torch.channels_last)

    def turn() -> None:
        running.wait()
        turns.append("other")

    thread = threading.Thread(target=turn)
    thread.start()
    sys.setswitchinterval(1000)
    try:
        running.set()
        while not turns:
            compiled(batch)
    finally:
        sys.setswitchinterval(interval)
    thread.join()


def test_a_program_that_torch_cannot_compile_says_why() -> None:
    no_matrix = Node("no_matrix", "aten.mm.default", (NodeRef("image"), NodeRef("image")))
    program = Program(IMAGE, (no_matrix,), ("no_matrix",), ())
    with pytest.raises(EngineError, match=r"^AOTInductor cannot compile it: a must be 2D"):
        aot_writer.compiled(program, {})


def test_a_writer_that_can_do_nothing_says_so_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "the writer sets it")
    (tmp_path / "program.json").write_bytes(b"no program")
    assert aot_writer.main(tmp_path / "program.json", tmp_path / "none", tmp_path / "program.so") == UNFIT
    assert "not JSON" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["program.json"]


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(b"not a library")
    with pytest.raises(OSError, match="file too short"):
        ENGINE.open_model(damaged, IMAGE, 1)


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert ENGINE.missing() == (
        "there is no C++ compiler 'no-such-compiler'; install one (Debian: apt install g++), or name it in CXX"
    )


def test_a_library_is_for_this_torch_this_processor_and_so_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch_threads(1):
        one = AOT_INDUCTOR.variant()
    with torch_threads(2):
        two = AOT_INDUCTOR.variant()
    monkeypatch.setattr(aot_form, "_processor", lambda: "another")
    with torch_threads(2):
        three = AOT_INDUCTOR.variant()
    assert len({one, two, three}) == 3
    assert all(torch.__version__ in each for each in (one, two, three))


def test_it_is_used_where_it_is_named_only() -> None:
    cpu = torch.device("cpu")
    assert asked(Engine.AOT_INDUCTOR, cpu) == (Engine.AOT_INDUCTOR,)
    assert Engine.AOT_INDUCTOR not in asked(Engine.AUTO, cpu)
