"""A stage knows which values are there at one moment, and how many bytes they take."""

from __future__ import annotations

from framepilot_app.graphs.fusion import Kernel
from framepilot_app.graphs.program import Node, NodeRef
from framepilot_app.graphs.stage import Stage


def kernel(name: str, numbers: int, *inputs: str) -> Kernel:
    """One whose value has so many numbers for each item; none: its shape is unknown."""
    shape = (-1, numbers) if numbers else ()
    return Kernel(name, Node(name, "aten.add.Tensor", tuple(map(NodeRef, inputs)), {}, shape), shape=shape)


def stage(*kernels: Kernel, outputs: tuple[str, ...] = ("c",)) -> Stage:
    return Stage({"image": (-1, 10)}, kernels, outputs)


def test_a_value_is_there_until_its_last_use():
    chain = stage(kernel("a", 100, "image"), kernel("b", 1000, "a"), kernel("c", 1, "b"))
    assert chain.last_uses() == {"a": ["image"], "b": ["a"], "c": ["b"]}
    assert chain.largest_item_bytes == 4 * (100 + 1000)


def test_what_is_used_again_later_is_there_meanwhile():
    bypass = stage(kernel("a", 100, "image"), kernel("b", 1000, "a"), kernel("c", 1000, "b", "a"))
    assert bypass.largest_item_bytes == 4 * (100 + 1000 + 1000)


def test_outputs_stay_and_what_nobody_takes_goes_at_once():
    ended = stage(kernel("a", 1000, "image"), kernel("b", 500, "image"), kernel("c", 1, "image"), outputs=("b", "c"))
    assert ended.last_uses() == {"a": ["a"], "b": [], "c": ["image"]}
    assert ended.largest_item_bytes == 4 * (10 + 1000)
    assert stage(*ended.kernels, outputs=("a", "b", "c")).largest_item_bytes == 4 * (10 + 1000 + 500 + 1)


def test_a_value_of_unknown_shape_counts_nothing():
    assert stage(kernel("a", 0, "image"), kernel("c", 5, "a")).largest_item_bytes == 4 * 10
