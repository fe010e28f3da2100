"""The ONNX form of a model is written once, by a process of its own, and goes with the model."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from framepilot_app.graphs.engine import EngineError
from framepilot_app.graphs.onnx_writer import UNFIT as WRITTEN_UNFIT
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, Program
from framepilot_app.models import onnx_files
from framepilot_app.models.model import PROGRAM_FILE, Model
from framepilot_app.models.onnx_files import OnnxFiles
from framepilot_app.models.verify import open_model
from support.tiny_model import write_tiny_model

pytest.importorskip("onnx")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return open_model(write_tiny_model(tmp_path / "store"))


def test_it_is_written_once(model: Model, tmp_path: Path) -> None:
    files = OnnxFiles(tmp_path / "onnx")
    path = files.get(model, threading.Event())
    written_at = path.stat().st_mtime_ns
    assert files.get(model, threading.Event()) == path
    assert path.stat().st_mtime_ns == written_at
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_program_without_an_onnx_form_says_which_operator(model: Model, tmp_path: Path) -> None:
    image = ImageInput("image", 3, 8, 8)
    program = Program(image, (Node("root", "aten.rsqrt.default", (NodeRef("image"),)),), ("root",), ())
    (model.folder / PROGRAM_FILE).write_bytes(program.to_json())
    with pytest.raises(EngineError, match=r"root: aten\.rsqrt\.default cannot be written as ONNX"):
        OnnxFiles(tmp_path / "onnx").get(model, threading.Event())
    assert onnx_files.UNFIT == WRITTEN_UNFIT


def test_a_model_that_went_away_is_a_reason_and_leaves_nothing(model: Model, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"its ONNX form cannot be written: .*No such file"):
        OnnxFiles(tmp_path / "onnx").get(replace(model, folder=tmp_path / "away"), threading.Event())
    assert list((tmp_path / "onnx").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_reason(model: Model, tmp_path: Path) -> None:
    (tmp_path / "onnx").write_text("a file")
    with pytest.raises(EngineError, match="its ONNX form cannot be written"):
        OnnxFiles(tmp_path / "onnx").get(model, threading.Event())


def test_nobody_waits_for_it_when_it_was_given_up(model: Model, tmp_path: Path) -> None:
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(EngineError, match="given up"):
        OnnxFiles(tmp_path / "onnx").get(model, given_up)


def test_pruning_keeps_those_of_models_that_are_kept(model: Model, tmp_path: Path) -> None:
    files = OnnxFiles(tmp_path / "onnx")
    path = files.get(model, threading.Event())
    (path.parent / "half.partial").write_bytes(b"")
    files.prune({model.sha256})
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    files.prune(frozenset())
    assert list(path.parent.iterdir()) == []
    OnnxFiles(tmp_path / "never made").prune(frozenset())
