"""ONNX models become programs that agree with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from framepilot_app.graphs.export import ExportError, from_onnx


def tensor(name: str, values: object, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    initializers: list[onnx.TensorProto],
    *,
    opset: int = 18,
    shape: tuple[object, ...] = (1, 3, 8, 8),
    listed: bool = False,
) -> Path:
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)]
    if listed:
        inputs += [helper.make_tensor_value_info(item.name, item.data_type, item.dims) for item in initializers]
    outputs = [helper.make_tensor_value_info("result", TensorProto.FLOAT, (None,) * 4)]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def convolution(rng: np.random.Generator) -> tuple[onnx.NodeProto, list[onnx.TensorProto]]:
    weights = [tensor("w", rng.standard_normal((4, 3, 3, 3))), tensor("b", rng.standard_normal(4))]
    return helper.make_node("Conv", ["image", "w", "b"], ["features"], pads=[1, 1, 1, 1]), weights


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("opset", [11, 13, 18, 19, 21])
@pytest.mark.parametrize("pads", [[0, 0, 1, 2, 0, 0, 0, 1], [0, 0, 0, 0, 0, 5, 0, 0]], ids=["borders", "channels"])
def test_pad_of_every_opset(opset: int, pads: list[int], rng: np.random.Generator, tmp_path: Path) -> None:
    first, weights = convolution(rng)
    nodes = [first, helper.make_node("Pad", ["features", "pads", "value"], ["result"])]
    stored = [*weights, tensor("pads", pads, np.int64), tensor("value", 0.5)]
    exported = from_onnx(save(tmp_path / "pad.onnx", nodes, stored, opset=opset))
    assert exported.max_abs_error < 1e-5
    assert exported.program.nodes[-1].op == "aten.constant_pad_nd.default"


def test_what_follows_a_pad_may_need_its_shape(rng: np.random.Generator, tmp_path: Path) -> None:
    first, weights = convolution(rng)
    nodes = [
        first,
        helper.make_node("Pad", ["features", "pads"], ["padded"]),
        helper.make_node("AveragePool", ["padded"], ["result"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    stored = [*weights, tensor("pads", [0, 0, 1, 1, 0, 0, 1, 1], np.int64)]
    assert from_onnx(save(tmp_path / "pool.onnx", nodes, stored)).max_abs_error < 1e-5


def test_reflecting_pad(rng: np.random.Generator, tmp_path: Path) -> None:
    first, weights = convolution(rng)
    nodes = [first, helper.make_node("Pad", ["features", "pads"], ["result"], mode="reflect")]
    stored = [*weights, tensor("pads", [0, 0, 1, 2, 0, 0, 3, 1], np.int64)]
    assert from_onnx(save(tmp_path / "pad.onnx", nodes, stored)).max_abs_error < 1e-5


def test_an_old_file_with_a_fixed_batch_and_listed_weights(rng: np.random.Generator, tmp_path: Path) -> None:
    first, weights = convolution(rng)
    nodes = [first, helper.make_node("Relu", ["features"], ["result"])]
    path = save(tmp_path / "old.onnx", nodes, weights, opset=9, shape=(10, 3, 8, 8), listed=True)
    exported = from_onnx(path, (12, 20))
    assert exported.max_abs_error < 1e-5
    assert (exported.program.input.height, exported.program.input.width) == (12, 20)


def test_a_file_that_does_not_state_its_size_needs_one(rng: np.random.Generator, tmp_path: Path) -> None:
    first, weights = convolution(rng)
    nodes = [first, helper.make_node("Sigmoid", ["features"], ["result"])]
    path = save(tmp_path / "free.onnx", nodes, weights, shape=("n", 3, "h", "w"))
    with pytest.raises(ExportError, match="does not state its channels, height and width"):
        from_onnx(path)
    assert from_onnx(path, (8, 8)).max_abs_error < 1e-5


def test_an_operator_that_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Det", ["image"], ["result"])]
    with pytest.raises(ExportError, match=r"cannot be converted: .*Det"):
        from_onnx(save(tmp_path / "det.onnx", nodes, []))


def test_an_operator_that_is_not_allowed_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Erf", ["image"], ["result"])]
    with pytest.raises(ExportError, match=r"'aten\.erf\.default' is not allowed"):
        from_onnx(save(tmp_path / "erf.onnx", nodes, []))


def test_what_is_not_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    for name in ("text.onnx", "absent.onnx"):
        with pytest.raises(ExportError, match="not a sound ONNX file"):
            from_onnx(tmp_path / name)
