"""A stage of a merged plan means the same on every engine that can run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framepilot.contract.desired import Engine
from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.engine import CompiledStage, EngineError
from framepilot_app.graphs.file_engines import FILE_ENGINES
from framepilot_app.graphs.merging import Merged, merge
from framepilot_app.graphs.normal import normalise
from framepilot_app.graphs.onnx_node import NotInOnnx
from framepilot_app.graphs.onnx_writer import stage_to_onnx
from framepilot_app.graphs.plain_stage import PlainStage
from framepilot_app.graphs.stage import Stage
from framepilot_app.graphs.stage_engines import STAGE_ENGINES, WholeStage, open_stage
from support.merged_run import CPU, MergedRun
from support.networks import finish
from support.random_programs import CHANNELS, SIDE, Weights, by_digest, member, parameters_of, words, write
from support.running_stages import KEEP_ALL

CONV, RELU, SIGMOID = ("conv", 0, 0), ("relu", 0, 0), ("sigmoid", 0, 0)
SECOND = ("conv", 0, 1)


@pytest.fixture(params=STAGE_ENGINES, ids=lambda engine: engine.value)
def engine(request: pytest.FixtureRequest) -> Engine:
    FILE_ENGINES[request.param].preload()
    return request.param


class Case:
    """Programs that begin alike, their plan, and its stages on an engine, as far as they have an ONNX form."""

    def __init__(self, words_, more_outputs: int = 0) -> None:
        self.written = {f"p{index}": write(word, f"n{index}_", more_outputs) for index, word in enumerate(words_)}
        self.merged: Merged = merge([member(name, *each) for name, each in self.written.items()], KEEP_ALL)
        self.tensors: Weights = by_digest(*(weights for _, weights in self.written.values()))
        self.moved: list[Stage] = []

    def opener(self, engine: Engine, folder: Path) -> Callable[[Stage], CompiledStage | None]:
        """By way of the document that another process gets."""

        def opened(stage: Stage) -> CompiledStage | None:
            names = {digest: f"called {digest}" for digest in self.tensors}
            plain = PlainStage.parse(PlainStage.of(stage, names).to_json())
            try:
                model = stage_to_onnx(plain, {names[digest]: each.numpy() for digest, each in self.tensors.items()})
            except NotInOnnx:
                return None
            onnx.save(model, folder / "stage.onnx")
            self.moved.append(stage)
            return open_stage(engine, folder / "stage.onnx", 1)

        return opened

    def agrees(self, engine: Engine, folder: Path, size: int) -> None:
        batch = torch.randn(size, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(size))
        found = MergedRun(self.merged, self.tensors, self.opener(engine, folder))(*[batch] * len(self.written))
        for name, (program, weights) in self.written.items():
            types = {key: each.type for key, each in parameters_of(weights).items()}
            alone = finish(torch_engine.compile(normalise(program, types), weights, CPU))(batch)
            for ours, theirs in zip(found[name], alone, strict=True):
                assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4, equal_nan=True), name


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words_=words(3), more_outputs=st.integers(0, 2), size=st.integers(1, 3))
def test_random_programs_give_what_torch_gives(engine: Engine, tmp_path: Path, words_, more_outputs, size) -> None:
    Case(words_, more_outputs).agrees(engine, tmp_path, size)


def test_a_sum_with_relu_that_ran_as_one_kernel_is_written_node_by_node(engine: Engine, tmp_path: Path) -> None:
    stem = [CONV, SECOND, ("add", 1, 0), RELU]
    case = Case([[*stem, SIGMOID], [*stem, CONV]])
    assert any(kernel.other is not None and kernel.unary is not None for kernel in case.merged.stages[0].stage.kernels)
    case.agrees(engine, tmp_path, 2)
    assert len(case.moved) == len(case.merged.stages) == 3


def test_a_stage_may_take_and_give_several_values(engine: Engine, tmp_path: Path) -> None:
    stem = [CONV, RELU, ("pool", 0, 0)]
    case = Case([[*stem, ("add", 1, 0)], [*stem, SIGMOID, ("add", 2, 0)]])
    assert len(case.merged.stages[0].stage.outputs) == 2
    assert all(len(each.stage.inputs) == 2 for each in case.merged.stages[1:])
    case.agrees(engine, tmp_path, 3)
    assert len(case.moved) == 3


def test_a_stage_with_an_operator_that_onnx_has_not_names_it() -> None:
    (stage,) = Case([[CONV, ("split", 0, 0)]] * 2).merged.stages
    plain = PlainStage.of(stage.stage, {name: name for name in stage.stage.parameters()})
    with pytest.raises(NotInOnnx, match=r"aten\.chunk\.default cannot be written as ONNX"):
        stage_to_onnx(plain, dict.fromkeys(plain.parameters, torch.zeros(CHANNELS, CHANNELS, 3, 3).numpy()))


def test_a_value_of_unknown_shape_cannot_be_taken() -> None:
    with pytest.raises(NotInOnnx, match="the shape of what it takes is not known"):
        stage_to_onnx(PlainStage({"image": ()}, (), ("image",), {}), {})


def test_images_come_laid_out_as_torchs_stages_take_them(engine: Engine, tmp_path: Path) -> None:
    case = Case([[CONV, RELU]] * 2)
    compiled = case.opener(engine, tmp_path)(case.merged.stages[0].stage)
    (output,) = compiled(torch.randn(2, CHANNELS, SIDE, SIDE))
    assert output.is_contiguous(memory_format=torch.channels_last)
    assert not output.is_contiguous()
    assert compiled.held() == ((compiled, compiled.nbytes),)
    assert compiled.nbytes >= CHANNELS * CHANNELS * 9 * 4


def test_what_an_engine_raises_is_an_error_of_the_stage() -> None:
    def fails(_values: object) -> list:
        raise RuntimeError("no room\nsomewhere")

    with pytest.raises(EngineError, match=r"a stage cannot be run: no room$"):
        finish(WholeStage(0, fails).steps(torch.zeros(1)))
