"""A compiled program agrees with the plain one, fails with a node's name, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from framepilot_app.graphs import aten, torch_engine
from framepilot_app.graphs.engine import EngineError
from framepilot_app.graphs.export import Exported, from_module
from framepilot_app.graphs.fold import fold
from framepilot_app.graphs.program import ImageInput, Node, NodeRef, ParameterRef, Program
from framepilot_app.graphs.script import kept
from framepilot_app.graphs.warm_up import warm_up
from support.networks import Residual, finish, largest_difference
from support.torch_threads import torch_threads

CPU = torch.device("cpu")
IMAGE = ImageInput("image", 4, 8, 8)
CONVOLUTION_ARGS = ((1, 1), (1, 1), (1, 1), False, (0, 0), 1)


@pytest.fixture(scope="module")
def exported() -> Exported:
    torch.manual_seed(0)
    return from_module(Residual(), torch.randn(1, 3, 16, 24))


@pytest.fixture(scope="module")
def folded(exported: Exported) -> tuple[Program, dict[str, torch.Tensor]]:
    return fold(exported.program, exported.weights)


@pytest.fixture
def weights_file(folded: tuple[Program, dict[str, torch.Tensor]], tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file(folded[1], path)
    return path


def convolution(name: str, source: str) -> Node:
    return Node(
        name,
        "aten.convolution.default",
        (NodeRef(source), ParameterRef("weight"), ParameterRef("bias"), *CONVOLUTION_ARGS),
    )


WEIGHTS = {"weight": torch.randn(4, 4, 3, 3), "bias": torch.randn(4)}


def program(*nodes: Node, outputs: tuple[str, ...] | None = None) -> Program:
    used = dict.fromkeys(name for node in nodes for name in node.parameters())
    return Program(IMAGE, nodes, outputs or (nodes[-1].name,), tuple(used))


@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_every_batch_size_agrees_with_the_original(exported: Exported, folded, weights_file: Path, size: int) -> None:
    compiled = finish(torch_engine.compile(folded[0], weights_file, CPU))
    batch = torch.randn(size, 3, 16, 24)
    expected = aten.run(exported.program, exported.weights, batch)
    found = compiled(batch)
    assert [output.shape for output in found] == [output.shape for output in expected]
    assert largest_difference(found, expected) < 1e-4


def test_a_program_that_is_not_folded_compiles_too(exported: Exported) -> None:
    compiled = finish(torch_engine.compile(exported.program, exported.weights, CPU))
    batch = torch.randn(2, 3, 16, 24)
    assert largest_difference(compiled(batch), aten.run(exported.program, exported.weights, batch)) < 1e-4


def test_steps_give_what_a_call_gives(folded, weights_file: Path) -> None:
    compiled = finish(torch_engine.compile(folded[0], weights_file, CPU))
    batch = torch.randn(3, 3, 16, 24)
    steps = compiled.steps(batch)
    assert sum(1 for _ in steps) > 5
    for stepped, called in zip(finish(compiled.steps(batch)), compiled(batch), strict=True):
        assert torch.equal(stepped, called)


def test_two_runs_may_be_interleaved_step_by_step(folded, weights_file: Path) -> None:
    compiled = finish(torch_engine.compile(folded[0], weights_file, CPU))
    batches = torch.randn(2, 1, 3, 16, 24)
    running = [compiled.steps(batch) for batch in batches]
    next(running[0])
    second = finish(running[1])
    first = finish(running[0])
    assert largest_difference(first, compiled(batches[0])) == 0
    assert largest_difference(second, compiled(batches[1])) == 0


def test_inference_mode_is_never_on_between_steps(folded, weights_file: Path) -> None:
    loading = torch_engine.compile(folded[0], weights_file, CPU)
    for _ in loading:
        assert not torch.is_inference_mode_enabled()
    compiled = finish(torch_engine.compile(folded[0], weights_file, CPU))
    for _ in compiled.steps(torch.randn(1, 3, 16, 24)):
        assert not torch.is_inference_mode_enabled()


def test_memory_format_of_the_batch_does_not_matter(folded, weights_file: Path) -> None:
    compiled = finish(torch_engine.compile(folded[0], weights_file, CPU))
    batch = torch.randn(2, 3, 16, 24)
    assert largest_difference(compiled(batch), compiled(batch.to(memory_format=torch.channels_last))) < 1e-6


def test_the_file_is_not_needed_once_compiled(exported: Exported, folded, weights_file: Path) -> None:
    compiled = finish(torch_engine.compile(folded[0], weights_file, CPU))
    with weights_file.open("r+b") as file:
        file.truncate(0)
    batch = torch.randn(1, 3, 16, 24)
    assert largest_difference(compiled(batch), aten.run(exported.program, exported.weights, batch)) < 1e-4


def test_nbytes_is_what_the_parameters_take(folded, weights_file: Path) -> None:
    compiled = finish(torch_engine.compile(folded[0], weights_file, CPU))
    assert compiled.nbytes == sum(tensor.nbytes for tensor in folded[1].values())


@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU(),
        nn.ReLU6(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.SiLU(),
        nn.Hardswish(),
        nn.LeakyReLU(0.2),
        nn.GELU(),
        nn.GELU("tanh"),
        nn.Hardsigmoid(),
        nn.PReLU(8),
        nn.ELU(),
        nn.Mish(),
        nn.Softplus(),
    ],
    ids=str,
)
def test_activations_after_a_convolution(activation: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), activation)
    found = from_module(model, torch.randn(1, 3, 8, 8))
    compiled = finish(torch_engine.compile(found.program, found.weights, CPU))
    batch = torch.randn(3, 3, 8, 8) * 4
    with torch.inference_mode():
        assert largest_difference(compiled(batch), (model(batch),)) < 1e-5


@pytest.mark.parametrize(
    "other",
    [
        Node("other", "aten.mean.dim", (NodeRef("image"), (2, 3), True)),
        Node("other", "aten.slice.Tensor", (NodeRef("image"), 1, 0, 1)),
        Node("other", "aten._to_copy.default", (NodeRef("image"),), {}),
        Node("other", "aten.permute.default", (NodeRef("image"), (0, 1, 3, 2))),
    ],
    ids=lambda node: node.op,
)
def test_a_sum_of_any_shapes_is_right(other: Node) -> None:
    summed = program(
        other,
        convolution("convolution", "image"),
        Node("sum", "aten.add.Tensor", (NodeRef("convolution"), NodeRef("other"))),
        Node("relu", "aten.relu.default", (NodeRef("sum"),)),
    )
    batch = torch.randn(2, 4, 8, 8)
    compiled = finish(torch_engine.compile(summed, WEIGHTS, CPU))
    assert largest_difference(compiled(batch), aten.run(summed, WEIGHTS, batch)) < 1e-5


def test_a_sum_of_shapes_that_do_not_fit_is_an_error_and_not_read_past_its_end() -> None:
    wrong = program(
        Node("small", "aten.slice.Tensor", (NodeRef("image"), 2, 0, 5)),
        convolution("convolution", "image"),
        Node("sum", "aten.add.Tensor", (NodeRef("convolution"), NodeRef("small"))),
    )
    compiled = finish(torch_engine.compile(wrong, WEIGHTS, CPU))
    with pytest.raises(EngineError, match=r"sum: cannot be run: .*must match"):
        compiled(torch.randn(2, 4, 8, 8))


def test_a_node_that_fails_is_named() -> None:
    wrong = program(Node("misshapen", "aten.reshape.default", (NodeRef("image"), (-1, 7))))
    compiled = finish(torch_engine.compile(wrong, {}, CPU))
    with pytest.raises(EngineError, match="misshapen: cannot be run"):
        compiled(torch.randn(1, 4, 8, 8))
    with pytest.raises(EngineError, match="misshapen: cannot be run"):
        finish(compiled.steps(torch.randn(1, 4, 8, 8)))


@pytest.mark.parametrize(
    "batch",
    [
        torch.randn(1, 3, 8, 8),
        torch.randn(4, 8, 8),
        torch.randn(0, 4, 8, 8),
        torch.zeros(1, 4, 8, 8, dtype=torch.float64),
    ],
    ids=["channels", "dimensions", "empty", "dtype"],
)
def test_another_batch_than_the_program_takes_is_refused(batch: torch.Tensor) -> None:
    compiled = finish(torch_engine.compile(program(convolution("only", "image")), WEIGHTS, CPU))
    with pytest.raises(EngineError, match="the program takes N x 4 x 8 x 8, float32"):
        compiled(batch)


@pytest.mark.parametrize(
    ("channels", "weight", "args"),
    [
        (1, (5, 1, 4, 2), ((1, 3), (2, 0), (2, 1), False, (0, 0), 1)),
        (4, (4, 3, 3, 3), ((2, 2), (1, 1), (1, 1), True, (1, 1), 1)),
        (4, (4, 2, 3, 3), ((2, 1), (0, 1), (1, 2), True, (0, 0), 2)),
        (4, (6, 2, 3, 2), ((1, 2), (1, 0), (2, 1), False, (0, 0), 2)),
    ],
    ids=["one channel and width 1", "output padding", "grouped transposed", "grouped"],
)
def test_convolutions_of_every_kind(channels: int, weight: tuple[int, ...], args: tuple) -> None:
    references = (NodeRef("image"), ParameterRef("weight"), None)
    node = Node("only", "aten.convolution.default", (*references, *args))
    single = Program(ImageInput("image", channels, 4, 4), (node,), ("only",), ("weight",))
    weights = {"weight": torch.randn(weight)}
    batch = torch.randn(2, channels, 4, 4)
    compiled = finish(torch_engine.compile(single, weights, CPU))
    assert largest_difference(compiled(batch), aten.run(single, weights, batch)) < 1e-5


def test_a_noted_shape_that_is_not_true_does_no_harm() -> None:
    nodes = [convolution("first", "image"), convolution("second", "first")]
    chain = program(*(dataclasses.replace(node, shape=(-1, 4, 1, 1)) for node in nodes))
    batch = torch.randn(2, 4, 8, 8)
    compiled = finish(torch_engine.compile(chain, WEIGHTS, CPU))
    assert largest_difference(compiled(batch), aten.run(chain, WEIGHTS, batch)) < 1e-4


@pytest.mark.parametrize("shape", [(), (4,), (4, 4, 3), (4, 4, 3, 3, 3), (0, 4, 3, 3), (4, 3, 3, 3)], ids=str)
def test_weights_that_do_not_fit_are_an_error(shape: tuple[int, ...]) -> None:
    weights = WEIGHTS | {"weight": torch.randn(shape)}
    with pytest.raises(EngineError, match="only: "):
        finish(torch_engine.compile(program(convolution("only", "image")), weights, CPU))(torch.randn(1, 4, 8, 8))


@pytest.mark.parametrize("args", [((0, 0), (1, 1), (1, 1), False, (0, 0), 1), ("x",) * 6, ()], ids=str)
def test_arguments_that_do_not_fit_are_an_error(args: tuple) -> None:
    node = Node("only", "aten.convolution.default", (NodeRef("image"), ParameterRef("weight"), None, *args))
    with pytest.raises(EngineError, match="only: "):
        finish(torch_engine.compile(program(node), WEIGHTS, CPU))(torch.randn(1, 4, 8, 8))


def test_a_parameter_that_is_missing_is_named(folded, tmp_path: Path) -> None:
    kept = dict(list(folded[1].items())[1:])
    save_file(kept, tmp_path / "weights.safetensors")
    with pytest.raises(EngineError, match=f"there is no parameter '{folded[0].parameters[0]}'"):
        finish(torch_engine.compile(folded[0], tmp_path / "weights.safetensors", CPU))


def test_weights_that_are_missing_or_damaged_are_refused(folded, weights_file: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights_file.read_bytes()[:-100])
    for path in (damaged, tmp_path / "nothing", tmp_path):
        with pytest.raises(EngineError, match="cannot be read"):
            finish(torch_engine.compile(folded[0], path, CPU))


def test_a_dropped_program_is_gone_without_the_garbage_collector(folded, weights_file: Path) -> None:
    gc.disable()
    try:
        compiled = finish(torch_engine.compile(folded[0], weights_file, CPU))
        compiled(torch.randn(1, 3, 16, 24))
        halfway = compiled.steps(torch.randn(1, 3, 16, 24))
        next(halfway)
        held = [weakref.ref(compiled), *tensors_of(compiled)]
        assert len(held) > 5
        del compiled, halfway
        assert [reference() for reference in held] == [None] * len(held)
    finally:
        gc.enable()


def test_a_batch_gives_no_tensor_back_to_python_while_it_runs(folded, weights_file: Path) -> None:
    # One that only Python still refers to is given back, and for that a batch would wait for Python's lock.
    compiled = finish(torch_engine.compile(folded[0], weights_file, CPU))
    function = compiled._stage._script
    assert function
    assert len(function.tensors) > 5
    assert min(tensor._use_count() for tensor in function.tensors) > 1
    batch = torch.randn(1, 3, 16, 24)
    alone = batch._use_count()
    held = kept((batch,))
    assert batch._use_count() == alone + 1
    del held
    assert batch._use_count() == alone


def tensors_of(compiled: torch_engine.TorchCompiled) -> list[weakref.ref[torch.Tensor]]:
    """All tensors that its calls hold on to."""
    found: list[weakref.ref[torch.Tensor]] = []
    pending: list[object] = [instruction.call for instruction in compiled._stage._instructions]
    assert compiled._stage._script
    while pending:
        value = pending.pop()
        if isinstance(value, torch.Tensor):
            found.append(weakref.ref(value))
        elif isinstance(value, tuple | list):
            pending.extend(value)
        elif dataclasses.is_dataclass(value):
            pending.extend(getattr(value, field.name) for field in dataclasses.fields(value))
    return found


def test_a_compilation_that_is_closed_halfway_gives_its_memory_back(folded, weights_file: Path) -> None:
    gc.disable()
    try:
        loading = torch_engine.compile(folded[0], weights_file, CPU)
        while not preparing(loading).get("instructions"):
            next(loading)
        held = weakref.ref(preparing(loading)["preparation"])
        loading.close()
        assert held() is None
    finally:
        gc.enable()


def preparing(loading) -> dict[str, Any]:
    """What the generator that prepares the kernels has in its variables."""
    while loading.gi_yieldfrom is not None and "instructions" not in loading.gi_frame.f_locals:
        loading = loading.gi_yieldfrom
    return loading.gi_frame.f_locals


def test_large_weights_are_copied_in_pieces() -> None:
    weights = {"weight": torch.randn(2048, 2048)}
    layers = program(
        Node("flat", "aten.reshape.default", (NodeRef("image"), (-1, 256))),
        Node("wide", "aten.cat.default", ((NodeRef("flat"),) * 8, 1)),
        Node("dense", "aten.linear.default", (NodeRef("wide"), ParameterRef("weight"))),
    )
    small = sum(1 for _ in torch_engine.compile(layers, {"weight": torch.randn(16, 2048)}, CPU))
    large = sum(1 for _ in torch_engine.compile(layers, weights, CPU))
    assert large - small == 7
    compiled = finish(torch_engine.compile(layers, weights, CPU))
    batch = torch.randn(1, 4, 8, 8)
    assert largest_difference(compiled(batch), aten.run(layers, weights, batch)) == 0


def test_serving_imports_nothing_heavy() -> None:
    code = (
        "import json, sys, torch; with_torch = set(sys.modules);"
        "import framepilot_app.graphs.torch_engine, framepilot_app.graphs.warm_up;"
        "print(json.dumps(sorted(set(sys.modules) - with_torch)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    loaded = json.loads(output.splitlines()[-1])
    assert not [name for name in loaded if name.startswith(("onnx", "torch.export", "torch._dynamo", "sympy"))]


def test_warming_up_leaves_the_process_able_to_serve() -> None:
    warm_up(CPU)
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
    torch.set_flush_denormal(False)


def test_with_several_threads_every_batch_size_gives_the_same_as_one_by_one_operators() -> None:
    """Where oneDNN lays out a weight otherwise for one picture, as here with two threads."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(960, 320, 1), nn.ReLU6(), nn.Conv2d(320, 64, 1))
    exported = from_module(module, torch.randn(1, 960, 4, 2))
    with torch_threads(2):
        compiled = finish(torch_engine.compile(exported.program, exported.weights, CPU))
        for count in (1, 2, 4):
            batch = torch.randn(count, 960, 4, 2)
            with torch.inference_mode():
                expected = module(batch)
            assert torch.allclose(compiled(batch)[0], expected, atol=1e-4)
            assert torch.equal(finish(compiled.steps(batch))[0], compiled(batch)[0])
