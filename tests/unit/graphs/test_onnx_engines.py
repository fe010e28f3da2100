"""The ONNX form of a program means the same on every engine that takes it; what has none is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from framepilot_app.graphs import aten
from framepilot_app.graphs.engine import Compiled, EngineError
from framepilot_app.graphs.export import from_module
from framepilot_app.graphs.file_engine import FileEngine
from framepilot_app.graphs.file_engines import FILE_ENGINES
from framepilot_app.graphs.fold import fold
from framepilot_app.graphs.onnx_form import ONNX
from framepilot_app.graphs.onnx_node import NotInOnnx
from framepilot_app.graphs.onnx_operators import OPERATORS
from framepilot_app.graphs.onnx_writer import to_onnx
from framepilot_app.graphs.operators import ALLOWED
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, ParameterRef, Program
from support.networks import Residual, finish, largest_difference

ONNX_ENGINES = {name: engine for name, engine in FILE_ENGINES.items() if engine.form is ONNX}
IMAGE = ImageInput("image", 4, 6, 6)
IN = NodeRef("image")
WEIGHTS = {
    "weight": torch.randn(4, 4, 3, 3) / 3,
    "bias": torch.randn(4),
    "ones": torch.rand(4) + 0.5,
    "slope": torch.rand(4),
    "matrix": torch.randn(6, 6),
    "stack": torch.randn(3, 6, 6),
    "row": torch.randn(6),
    "map": torch.rand(1, 4, 1, 1) + 0.5,
}
P = {name: ParameterRef(name) for name in WEIGHTS}
CONVOLUTION = ((1, 1), (1, 1), (1, 1), False, (0, 0), 1)
FLAT = Node("flat", "aten.reshape.default", (IN, (-1, 6)))


def case(op: str, *args: object, **kwargs: object) -> Node:
    return Node("only", f"aten.{op}", args, kwargs)


CASES = [
    *(case(op, IN) for op in ("alias.default", "clone.default", "detach.default", "lift_fresh_copy.default")),
    case("batch_norm.default", IN, P["bias"], P["slope"], P["bias"], P["ones"], False, 0.1, 1e-5, False),
    case("convolution.default", IN, P["weight"], P["bias"], *CONVOLUTION),
    case("convolution.default", IN, P["weight"], None, (2, 1), (0, 1), (1, 2), False, (0, 0), 1),
    case("convolution.default", IN, P["weight"], P["bias"], (2, 2), (1, 1), (1, 1), True, (1, 1), 1),
    *(case(f"{op}.default", IN) for op in ("abs", "exp", "hardsigmoid", "hardswish", "mish", "neg", "relu")),
    *(case(f"{op}.default", IN) for op in ("sigmoid", "silu", "softplus", "tanh", "gelu", "elu", "hardtanh")),
    *(case(f"{op}.default", NodeRef("positive")) for op in ("log", "sqrt", "reciprocal")),
    case("gelu.default", IN, approximate="tanh"),
    case("hardtanh.default", IN, 0.0, 0.6),
    case("adaptive_avg_pool2d.default", IN, (1, 1)),
    case("avg_pool2d.default", IN, (3, 3), (2, 2), (1, 1)),
    case("avg_pool2d.default", IN, (3, 3), (2, 2), (1, 1), False, False),
    case("max_pool2d.default", IN, (3, 3), (2, 2), (1, 1)),
    case("max_pool2d.default", IN, (2, 2)),
    *(case(f"{op}.Scalar", IN, 1.5) for op in ("add", "div", "mul", "sub")),
    *(case(f"{op}.Tensor", IN, P["map"]) for op in ("add", "div", "mul", "sub")),
    *(case(f"{op}.default", IN, P["map"]) for op in ("maximum", "minimum")),
    case("pow.Tensor_Scalar", NodeRef("positive"), 2.5),
    case("clamp.default", IN, 0.1, 0.3),
    case("clamp.default", IN, None, 0.3),
    case("clamp_max.default", IN, 0.2),
    case("clamp_min.default", IN, 0.2),
    case("leaky_relu.default", IN, 0.2),
    case("prelu.default", IN, P["slope"]),
    *(case(op, IN, (2, 3)) for op in ("amax.default", "amin.default", "mean.dim", "sum.dim_IntList")),
    case("mean.dim", IN, (-1,), True),
    *(case(op, IN, 1) for op in ("softmax.int", "log_softmax.int")),
    case("linear.default", IN, P["matrix"], P["row"]),
    case("linear.default", IN, P["matrix"]),
    case("matmul.default", IN, P["matrix"]),
    case("mm.default", NodeRef("flat"), P["matrix"]),
    case("bmm.default", NodeRef("few"), P["stack"]),
    case("addmm.default", P["row"], NodeRef("flat"), P["matrix"]),
    case("cat.default", (IN, IN), 1),
    case("constant_pad_nd.default", IN, (1, 0, 2, 3, 0, 1), 0.5),
    case("flatten.using_ints", IN, 1),
    case("reshape.default", IN, (-1, 2, 72)),
    case("permute.default", IN, (0, 2, 3, 1)),
    case("pixel_shuffle.default", IN, 2),
    case("select.int", IN, 1, 2),
    case("slice.Tensor", IN, 2, 1, 5, 2),
    case("slice.Tensor", IN, 3, 2),
    case("unsqueeze.default", IN, 1),
    case("upsample_nearest2d.vec", IN, None, (2.0, 2.0)),
]


@pytest.fixture(params=ONNX_ENGINES.values(), ids=[engine.value for engine in ONNX_ENGINES])
def engine(request: pytest.FixtureRequest) -> FileEngine:
    found: FileEngine = request.param
    pytest.importorskip(found.package)
    found.preload()
    return found


def program_of(node: Node) -> Program:
    before = [
        Node("positive", "aten.abs.default", (IN,)),
        FLAT,
        Node("few", "aten.slice.Tensor", (NodeRef("planes"), 0, 0, 3)),
        Node("planes", "aten.reshape.default", (IN, (-1, 6, 6))),
    ]
    needed = {*node.inputs()}
    if "few" in needed:
        needed.add("planes")
    before = sorted((each for each in before if each.name in needed), key=lambda each: each.name == "few")
    return Program(IMAGE, (*before, node), (node.name,), tuple(dict.fromkeys(node.parameters())))


def opened(engine: FileEngine, program: Program, weights: dict[str, torch.Tensor], folder: Path) -> Compiled:
    file = folder / "program.onnx"
    onnx.save(to_onnx(program, {name: weights[name].numpy() for name in program.parameters}), file)
    return engine.open_model(file, program.input, 1)


def test_every_operator_that_can_be_written_is_tried_here() -> None:
    assert {node.op for node in CASES} == set(OPERATORS)
    assert set(OPERATORS) <= ALLOWED


@pytest.mark.parametrize("node", CASES, ids=lambda node: f"{node.op}{node.args[1:]}"[:60])
def test_an_operator_computes_the_same(engine: FileEngine, node: Node, tmp_path: Path) -> None:
    program = program_of(node)
    batch = torch.randn(3, 4, 6, 6)
    found = opened(engine, program, WEIGHTS, tmp_path)(batch)
    expected = aten.run(program, WEIGHTS, batch)
    assert [output.shape for output in found] == [output.shape for output in expected]
    assert largest_difference(found, expected) < 1e-4


def test_a_network_agrees_at_every_batch_size_in_any_order(engine: FileEngine, tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = from_module(Residual(), torch.randn(1, 3, 16, 24))
    program, weights = fold(exported.program, exported.weights)
    compiled = opened(engine, program, weights, tmp_path)
    for size in (1, 3, 16, 2):
        batch = torch.randn(size, 3, 16, 24)
        expected = aten.run(exported.program, exported.weights, batch)
        assert largest_difference(compiled(batch), expected) < 1e-4
        channels_last = batch.to(memory_format=torch.channels_last)
        assert largest_difference(finish(compiled.steps(channels_last)), expected) < 1e-4
    assert compiled.nbytes >= sum(tensor.nbytes for tensor in weights.values())


def test_a_result_stays_what_it_is_when_the_next_batch_runs(engine: FileEngine, tmp_path: Path) -> None:
    compiled = opened(engine, program_of(case("relu.default", IN)), WEIGHTS, tmp_path)
    (first,) = compiled(torch.ones(2, 4, 6, 6))
    compiled(torch.zeros(2, 4, 6, 6))
    assert torch.equal(first, torch.ones(2, 4, 6, 6))


def test_a_batch_that_the_program_does_not_take_is_refused(engine: FileEngine, tmp_path: Path) -> None:
    compiled = opened(engine, program_of(case("relu.default", IN)), WEIGHTS, tmp_path)
    with pytest.raises(EngineError, match="the program takes N x 4 x 6 x 6, float32"):
        compiled(torch.zeros(2, 3, 6, 6))


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (case("rsqrt.default", IN), "only: aten.rsqrt.default cannot be written as ONNX: no ONNX is known for it"),
        (case("avg_pool2d.default", IN, (2, 2), (2, 2), (0, 0), True), "ceil_mode is True"),
        (case("adaptive_avg_pool2d.default", IN, (2, 2)), "its output is not 1 x 1"),
        (case("add.Tensor", IN, IN, alpha=2), "alpha is 2"),
        (case("linear.default", IN, IN), "a computed tensor where ONNX wants a stored one"),
    ],
    ids=lambda each: each.op if isinstance(each, Node) else "",
)
def test_what_has_no_onnx_form_is_named_with_the_reason(node: Node, reason: str) -> None:
    with pytest.raises(NotInOnnx, match="only: ") as refused:
        to_onnx(program_of(node), {})
    assert reason in str(refused.value)


def test_a_parameter_that_is_no_number_of_32_bits_is_refused() -> None:
    program = program_of(case("mul.Tensor", IN, P["map"]))
    with pytest.raises(NotInOnnx, match="'map' is float64"):
        to_onnx(program, {"map": np.ones(1)})


def test_an_engine_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    for engine in ONNX_ENGINES.values():
        wanted = engine.package == "openvino"
        assert ("framepilot-inference-app[openvino]" in (engine.missing() or "")) is wanted


def test_nothing_of_openvino_that_speaks_over_the_network_is_imported() -> None:
    pytest.importorskip("openvino")
    code = (
        "import sys, threading; from framepilot_app.graphs import openvino_engine; openvino_engine.ENGINE.preload();"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry.')], threading.active_count())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout.strip() == "[] 1"
