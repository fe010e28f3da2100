"""A form of a model is written once, by a process of its own, and goes with the model."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from framepilot_app.graphs.engine import EngineError
from framepilot_app.graphs.onnx_form import ONNX
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, Program
from framepilot_app.graphs.program_form import ProgramForm
from framepilot_app.models.form_files import FormFiles
from framepilot_app.models.model import PROGRAM_FILE, Model
from framepilot_app.models.verify import open_model
from support.eventually import eventually
from support.tiny_model import write_tiny_model

pytest.importorskip("onnx")

WRITER = """
import os, signal, subprocess, sys
from pathlib import Path
program, weights, target = map(Path, sys.argv[1:])
{does}
"""


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return open_model(write_tiny_model(tmp_path / "store"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def written_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Makes a form whose writer does this."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def form(does: str, **fields: object) -> ProgramForm:
        (tmp_path / "a_writer.py").write_text(WRITER.format(does=does))
        return replace(ONNX, name="Other", suffix=".other", writer="a_writer", **fields)

    return form


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_it_is_written_once(model: Model, cache: Path) -> None:
    files = FormFiles(cache, ONNX)
    path = files.get(model, threading.Event())
    written_at = path.stat().st_mtime_ns
    assert files.get(model, threading.Event()) == path
    assert path.stat().st_mtime_ns == written_at
    assert path.parent == cache / "onnx"
    assert names(path.parent) == [f"{model.sha256}-1.onnx"]


def test_who_asks_while_it_is_written_waits_for_it(model: Model, cache: Path, written_by) -> None:
    form = written_by("with target.open('x') as file: file.write(str(os.getpid()))")
    files = FormFiles(cache, form)
    with ThreadPoolExecutor(3) as threads:
        paths = {*threads.map(lambda _: files.get(model, threading.Event()), range(3))}
    assert len(paths) == 1


def test_what_is_of_another_number_or_variant_is_written_again(model: Model, cache: Path, written_by) -> None:
    variants = ["avx2"]
    form = written_by("target.write_text(target.name)", variant=lambda: variants[0])
    first = FormFiles(cache, form).get(model, threading.Event())
    assert first.name == f"{model.sha256}-1-avx2.other"
    variants[0] = "avx512"
    second = FormFiles(cache, form).get(model, threading.Event())
    third = FormFiles(cache, replace(form, number=2)).get(model, threading.Event())
    assert [path.read_text() for path in (second, third)] == [second.name, third.name]
    assert len({first, second, third}) == 3
    FormFiles(cache, form).prune({model.sha256})
    assert names(second.parent) == [second.name]


def test_a_program_without_an_onnx_form_says_which_operator(model: Model, cache: Path) -> None:
    image = ImageInput("image", 3, 8, 8)
    program = Program(image, (Node("root", "aten.rsqrt.default", (NodeRef("image"),)),), ("root",), ())
    (model.folder / PROGRAM_FILE).write_bytes(program.to_json())
    with pytest.raises(EngineError, match=r"^root: aten\.rsqrt\.default cannot be written as ONNX"):
        FormFiles(cache, ONNX).get(model, threading.Event())


def test_a_model_that_went_away_is_a_reason_and_leaves_nothing(model: Model, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(EngineError, match=r"its ONNX form cannot be written: .*No such file"):
        FormFiles(cache, ONNX).get(replace(model, folder=tmp_path / "away"), threading.Event())
    assert names(cache / "onnx") == []


def test_a_writer_s_answer_counts_whatever_it_says_besides(model: Model, cache: Path, written_by) -> None:
    form = written_by("print('it has no form'); print('leaked an instance', file=sys.stderr); sys.exit(3)")
    with pytest.raises(EngineError, match=r"^it has no form$"):
        FormFiles(cache, form).get(model, threading.Event())


def test_a_writer_that_fails_is_a_reason_and_leaves_nothing(model: Model, cache: Path, written_by) -> None:
    form = written_by("partial = target.with_suffix('.partial'); partial.mkdir(); (partial / 'half').touch(); 1 / 0")
    with pytest.raises(EngineError, match="its Other form cannot be written: ZeroDivisionError"):
        FormFiles(cache, form).get(model, threading.Event())
    assert names(cache / "other") == []


def test_a_folder_that_cannot_be_made_is_a_reason(model: Model, cache: Path) -> None:
    cache.mkdir()
    (cache / "onnx").write_text("a file")
    with pytest.raises(EngineError, match="its ONNX form cannot be written"):
        FormFiles(cache, ONNX).get(model, threading.Event())


def test_nobody_waits_for_it_when_it_was_given_up(model: Model, cache: Path) -> None:
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(EngineError, match="given up"):
        FormFiles(cache, ONNX).get(model, given_up)


def test_what_a_writer_started_ends_with_it(model: Model, cache: Path, written_by) -> None:
    form = written_by(
        "child = subprocess.Popen(['sleep', '600']); "
        "target.with_suffix('.child').write_text(str(child.pid)); signal.pause()"
    )
    given_up = threading.Event()
    pids = cache / "other" / f"{model.sha256}-1.child"
    with ThreadPoolExecutor(1) as threads:
        got = threads.submit(FormFiles(cache, form).get, model, given_up)
        eventually(lambda: pids.is_file() and pids.read_text(), "the writer to start another process")
        given_up.set()
        with pytest.raises(EngineError, match="given up"):
            got.result()
    eventually(lambda: not _runs(int(pids.read_text())), "the other process to end")


def test_a_writer_that_takes_too_long_is_ended_with_that_reason(model: Model, cache: Path, written_by) -> None:
    form = written_by("signal.pause()", limit_s=0.0)
    with pytest.raises(EngineError, match="its Other form cannot be written: not done in 0 s"):
        FormFiles(cache, form).get(model, threading.Event())


def test_pruning_keeps_those_of_models_that_are_kept(model: Model, cache: Path) -> None:
    files = FormFiles(cache, ONNX)
    path = files.get(model, threading.Event())
    (path.parent / "half.partial").write_bytes(b"")
    (path.parent / "folder.partial").mkdir()
    files.prune({model.sha256})
    assert names(path.parent) == [path.name]
    files.prune(frozenset())
    assert names(path.parent) == []
    FormFiles(cache / "never made", ONNX).prune(frozenset())


def test_pruning_leaves_alone_what_is_being_written(model: Model, cache: Path, written_by) -> None:
    go = cache / "go"
    form = written_by(
        "partial = target.with_suffix('.partial'); partial.touch(); (target.parents[1] / 'go').read_bytes(); "
        "partial.rename(target)"
    )
    cache.mkdir()
    os.mkfifo(go)
    files = FormFiles(cache, form)
    with ThreadPoolExecutor(1) as threads:
        got = threads.submit(files.get, model, threading.Event())
        eventually(lambda: [*cache.glob("other/*.partial")], "the writer to begin")
        files.prune(frozenset())
        go.write_bytes(b"")
        assert got.result().is_file()


def _runs(pid: int) -> bool:
    """Whether the process is there, and not merely unburied."""
    status = Path(f"/proc/{pid}/stat")
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] != "Z"
