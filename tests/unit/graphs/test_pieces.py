"""The beginning of a program runs in pieces of a batch, where its values are large, and gives the same."""

from __future__ import annotations

import pytest
import torch

from framepilot_app.graphs import aten, torch_engine
from framepilot_app.graphs.pieces import kernels_of
from framepilot_app.graphs.program import Argument, ImageInput, Node, NodeRef, ParameterRef, Program
from support.networks import finish, largest_difference
from support.pieces import pieces_of
from support.random_programs import Weights

CPU = torch.device("cpu")
LARGE = ImageInput("image", 3, 256, 320)
SMALL = ImageInput("image", 4, 8, 8)


def convolution(name: str, source: str, shape: tuple[int, ...], stride: int = 1) -> Node:
    pairs = ((stride, stride), (1, 1), (1, 1), False, (0, 0))
    weights = (ParameterRef(f"{name}.w"), ParameterRef(f"{name}.b"))
    return Node(name, "aten.convolution.default", (NodeRef(source), *weights, *pairs, 1), {}, (-1, *shape))


def apply(name: str, op: str, source: str, shape: tuple[int, ...], *rest: Argument) -> Node:
    return Node(name, f"aten.{op}", (NodeRef(source), *rest), {}, (-1, *shape))


def program(image: ImageInput, *nodes: Node, outputs: tuple[str, ...] = ()) -> Program:
    used = dict.fromkeys(name for node in nodes for name in node.parameters())
    return Program(image, nodes, outputs or (nodes[-1].name,), tuple(used))


def pieces(of: Program, fusable: bool = True) -> dict[str, int]:
    names = {node.name for node in of.nodes if node.op.startswith("aten.convolution")}
    return {kernel.name: kernel.piece for kernel in kernels_of(of, frozenset(names if fusable else ()))}


def backbone(image: ImageInput) -> Program:
    half, quarter, eighth = ((16, image.height // part, image.width // part) for part in (2, 4, 8))
    return program(
        image,
        apply("mean", "mean.dim", "image", (image.channels,), (2, 3)),
        convolution("first", "image", half, 2),
        apply("relu", "relu.default", "first", half),
        apply("pool", "max_pool2d.default", "relu", quarter, (2, 2), (2, 2)),
        convolution("second", "pool", quarter),
        Node("sum", "aten.add.Tensor", (NodeRef("second"), NodeRef("pool")), {}, (-1, *quarter)),
        convolution("third", "sum", eighth, 2),
        convolution("fourth", "third", eighth),
        outputs=("mean", "pool", "fourth"),
    )


def weights_of(of: Program) -> Weights:
    channels = {"first": of.input.channels}
    weights: Weights = {}
    for index, name in enumerate(of.parameters):
        node, kind = name.split(".")
        shape = (16, channels.get(node, 16), 3, 3) if kind == "w" else (16,)
        weights[name] = torch.randn(shape, generator=torch.Generator().manual_seed(index)) / 8
    return weights


def batch_of(size: int, image: ImageInput = SMALL) -> torch.Tensor:
    shape = (size, image.channels, image.height, image.width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(size))


def test_kernels_with_large_values_run_in_pieces_before_the_others() -> None:
    found = pieces(backbone(LARGE))
    assert found == {"relu": 1, "pool": 1, "mean": 0, "sum": 0, "third": 0, "fourth": 0}
    assert [*found][:2] == ["relu", "pool"]


@pytest.mark.parametrize(("side", "size"), [(32, 0), (64, 8), (128, 2), (256, 1), (512, 1)])
def test_a_piece_is_what_stays_in_the_cache(side: int, size: int) -> None:
    image = ImageInput("image", 3, side, side)
    assert pieces(program(image, convolution("first", "image", (64, side, side)))) == {"first": size}


def test_what_takes_something_small_is_behind_the_end() -> None:
    small = convolution("small", "image", (1, 32, 32))
    again = convolution("again", "small", (64, 256, 320))
    assert pieces(program(LARGE, convolution("narrow", "image", (1, 8, 8)), small, again)) == {
        "narrow": 1,
        "small": 1,
        "again": 1,
    }
    smaller = convolution("smaller", "small", (1, 32, 32))
    behind = convolution("behind", "smaller", (64, 256, 320))
    assert pieces(program(LARGE, small, smaller, behind)) == {"small": 1, "smaller": 0, "behind": 0}


@pytest.mark.parametrize(
    "node",
    [
        apply("mean", "mean.dim", "image", (3,), (2, 3)),
        apply("flat", "reshape.default", "image", (3, 256, 320), (-1, 3, 256, 320)),
        apply("sum", "add.Tensor", "image", (3, 256, 320), ParameterRef("x")),
        convolution("first", "image", ()),
    ],
    ids=lambda node: node.name,
)
def test_what_may_not_have_the_batch_first_is_not_cut(node: Node) -> None:
    assert pieces(program(LARGE, node)) == {node.name: 0}


def test_what_is_not_packed_and_all_behind_it_is_not_cut() -> None:
    assert not any(pieces(backbone(LARGE), fusable=False).values())


@pytest.mark.parametrize("pictures", [1, 2, 4])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_a_batch_in_pieces_gives_what_the_program_says(pictures: int, size: int) -> None:
    of, batch = backbone(SMALL), batch_of(size)
    weights = weights_of(of)
    with pieces_of(pictures, SMALL):
        assert set(pieces(of).values()) == {0, pictures}
        compiled = finish(torch_engine.compile(of, weights, CPU))
        found = compiled(batch)
        steps = finish(compiled.steps(batch))
    assert largest_difference(found, aten.run(of, weights, batch)) < 1e-5
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, steps, strict=True))


def test_every_piece_gives_what_it_gives_alone() -> None:
    of, batch = backbone(SMALL), batch_of(5)
    with pieces_of(2, SMALL):
        compiled = finish(torch_engine.compile(of, weights_of(of), CPU))
        pools = [compiled(part)[1] for part in batch.split(2)]
        assert torch.equal(compiled(batch)[1], torch.cat(pools))


@pytest.mark.parametrize(("threads", "runs"), [(1, 3), (2, 1)])
def test_only_one_thread_takes_a_batch_in_pieces(threads: int, runs: int) -> None:
    of = program(SMALL, convolution("first", "image", (16, 8, 8)))
    with pieces_of(1, SMALL):
        torch.set_num_threads(threads)
        compiled = finish(torch_engine.compile(of, weights_of(of), CPU))
        with torch.autograd.profiler.profile() as profile:
            compiled(batch_of(3))
    assert sum(event.name == "mkldnn::_convolution_pointwise" for event in profile.function_events) == runs
