"""The ONNX form of a stage is written once, whosever model it is written from, and goes with that model."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from framepilot_app.graphs.engine import EngineError
from framepilot_app.graphs.fusion import Kernel
from framepilot_app.graphs.merging import SharedStage, merge
from framepilot_app.graphs.program import Node, NodeRef
from framepilot_app.graphs.stage import Stage
from framepilot_app.models.contents import Contents, read_contents
from framepilot_app.models.member import member_of
from framepilot_app.models.model import Model
from framepilot_app.models.stage_files import StageFiles
from support.headed import write_headed

onnx = pytest.importorskip("onnx")


@pytest.fixture
def models(tmp_path: Path) -> list[Model]:
    return [write_headed(tmp_path / "store", f"head{number}", head=number) for number in range(2)]


@pytest.fixture
def contents(models: list[Model]) -> list[Contents]:
    return [read_contents(model.weights) for model in models]


@pytest.fixture
def stages(models: list[Model], contents: list[Contents]) -> list[SharedStage]:
    """The backbone, and both heads."""
    return [
        *merge(
            member_of(model.spec.name, model.program(), model.spec.input, each)
            for model, each in zip(models, contents, strict=True)
        ).stages
    ]


def test_it_is_written_once_and_found_by_what_it_is(models, contents, stages, tmp_path: Path) -> None:
    files = StageFiles(tmp_path / "onnx")
    path = files.get(stages[0].stage, models[0], contents[0], threading.Event())
    written_at = path.stat().st_mtime_ns
    assert files.get(stages[0].stage, models[1], contents[1], threading.Event()) == path
    assert path.stat().st_mtime_ns == written_at
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert [node.op_type for node in onnx.load(path).graph.node][:2] == ["Conv", "Relu"]


def test_another_stage_has_another_file(models, contents, stages, tmp_path: Path) -> None:
    files = StageFiles(tmp_path / "onnx")
    paths = [
        files.get(stages[1 + index].stage, models[index], contents[index], threading.Event()) for index in range(2)
    ]
    assert len(set(paths)) == 2
    weights = [{each.name: each for each in onnx.load(path).graph.initializer} for path in paths]
    assert weights[0] != weights[1]


def test_it_goes_with_the_model_that_it_was_written_from(models, contents, stages, tmp_path: Path) -> None:
    path = StageFiles(tmp_path / "onnx").get(stages[0].stage, models[0], contents[0], threading.Event())
    StageFiles(tmp_path / "onnx").prune({models[0].sha256})
    assert path.is_file()
    StageFiles(tmp_path / "onnx").prune({models[1].sha256})
    assert not path.exists()


def test_a_stage_without_an_onnx_form_says_which_operator(models, contents, tmp_path: Path) -> None:
    shape = (-1, 3, 8, 8)
    kernel = Kernel("root", Node("root", "aten.rsqrt.default", (NodeRef("image"),)), shape=shape)
    with pytest.raises(EngineError, match=r"root: aten\.rsqrt\.default cannot be written as ONNX"):
        StageFiles(tmp_path / "onnx").get(
            Stage({"image": shape}, (kernel,), ("root",)), models[0], contents[0], threading.Event()
        )
    assert list((tmp_path / "onnx").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_reason(models, contents, stages, tmp_path: Path) -> None:
    (tmp_path / "onnx").write_text("a file")
    with pytest.raises(EngineError, match="its ONNX form cannot be written"):
        StageFiles(tmp_path / "onnx").get(stages[0].stage, models[0], contents[0], threading.Event())


def test_a_model_that_went_away_is_a_reason(models, contents, stages, tmp_path: Path) -> None:
    gone = replace(models[0], folder=tmp_path / "away")
    with pytest.raises(EngineError, match=r"its ONNX form cannot be written: .*No such file"):
        StageFiles(tmp_path / "onnx").get(stages[0].stage, gone, contents[0], threading.Event())
    assert list((tmp_path / "onnx").iterdir()) == []
