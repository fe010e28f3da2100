"""Merged programs give what they give alone, to the bit, and the plan depends on the programs only."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.costs import CostModel
from framepilot_app.graphs.merging import Merged, merge
from framepilot_app.graphs.normal import normalise
from framepilot_app.graphs.program import Node, NodeRef, ParameterRef, Program
from support.merged_run import CPU, MergedRun, same_bits
from support.networks import finish
from support.pieces import pieces_of
from support.random_programs import CHANNELS, IMAGE, SIDE, by_digest, member, parameters_of, words, write

KEEP_ALL = CostModel(bytes_per_s=1e30, call_s=0)
"""Keeping a value costs nothing, so everything that is equal is shared."""
WHOLE = 16
"""So many pictures at once are a batch that is not cut."""
COSTS = (KEEP_ALL, CostModel(), CostModel(flops_per_s=1e15, bytes_per_s=1e6), CostModel(call_s=math.inf))

CONV, RELU, SIGMOID = ("conv", 0, 0), ("relu", 0, 0), ("sigmoid", 0, 0)


def members(*programs, **preprocessing: str):
    return [
        member(name, *write(word, f"{name}_"), preprocessing.get(name, "plain"))
        for name, word in zip("abcdefgh", programs, strict=False)
    ]


def shared(merged: Merged) -> dict[str, int]:
    """How many kernels each set of programs runs."""
    return {"".join(each.users): len(each.stage.kernels) for each in merged.stages}


@settings(max_examples=30)
@given(words(), st.sampled_from(COSTS), st.integers(0, 2), st.integers(1, 3), st.sampled_from((1, 2, WHOLE)))
def test_merged_results_are_those_of_the_programs_alone(words_, costs, more_outputs, size, pictures) -> None:
    written = {f"p{index}": write(word, f"n{index}_", more_outputs) for index, word in enumerate(words_)}
    tensors = by_digest(*(weights for _, weights in written.values()))
    batch = torch.randn(size, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(size))
    with pieces_of(pictures, IMAGE):
        merged = merge([member(name, *each) for name, each in written.items()], costs)
        found = MergedRun(merged, tensors)(*[batch] * len(written))
        for name, (program, weights) in written.items():
            types = {key: each.type for key, each in parameters_of(weights).items()}
            alone = finish(torch_engine.compile(normalise(program, types), weights, CPU))(batch)
            assert same_bits(found[name], alone), name


@settings(max_examples=60)
@given(words(6), st.sampled_from(COSTS), st.data())
def test_any_order_of_adding_and_removing_ends_in_the_same_plan(words_, costs, data) -> None:
    all_members = [member(f"p{index}", *write(word, f"n{index}_")) for index, word in enumerate(words_)]
    stay = data.draw(st.sets(st.sampled_from(range(len(all_members)))))
    plan = merge([], costs)
    for index in data.draw(st.permutations(range(len(all_members)))):
        plan = plan.adding(all_members[index])
    for index in data.draw(st.permutations([index for index in range(len(all_members)) if index not in stay])):
        plan = plan.removing(f"p{index}")
    assert plan.stages == merge([all_members[index] for index in sorted(stay)], costs).stages


@settings(max_examples=60)
@given(words(6), st.sampled_from(COSTS))
def test_every_stage_finds_what_it_takes(words_, costs) -> None:
    merged = merge([member(f"p{index}", *write(word, f"n{index}_")) for index, word in enumerate(words_)], costs)
    for name, each in merged.members.items():
        there = {each.picture}
        for stage in merged.of(name):
            assert set(stage.stage.inputs) <= there
            values = set(stage.stage.inputs)
            for kernel in stage.stage.kernels:
                assert set(kernel.inputs()) <= values
                values.add(kernel.name)
            assert set(stage.stage.outputs) <= values
            there.update(stage.stage.outputs)
        assert set(each.outputs) <= there


@settings(max_examples=60)
@given(words(6))
def test_what_is_equal_runs_once_if_keeping_costs_nothing(words_) -> None:
    all_members = [member(f"p{index}", *write(word, f"n{index}_")) for index, word in enumerate(words_)]
    kernels = [
        kernel.name
        for each in merge(all_members, KEEP_ALL).stages
        for kernel in each.stage.kernels
        if not any(m.steps[kernel.name].free for m in all_members if kernel.name in m.steps)
    ]
    assert len(kernels) == len(set(kernels))


def test_a_common_beginning_is_one_stage_and_heads_are_their_own() -> None:
    stem = [CONV, RELU, ("conv", 0, 1), RELU]
    merged = merge(members([*stem, SIGMOID], [*stem, ("conv", 0, 2)], [CONV, RELU, ("pool", 0, 0)]), KEEP_ALL)
    assert shared(merged) == {"abc": 1, "ab": 1, "a": 1, "b": 1, "c": 1}
    stem_stage = merged.stages[0]
    assert set(stem_stage.stage.inputs) == {merged.members["a"].picture}
    assert stem_stage.stage.outputs == tuple(merged.stages[1].stage.inputs)


def test_equal_programs_are_one_stage() -> None:
    merged = merge(members([CONV, RELU], [CONV, RELU]), KEEP_ALL)
    assert shared(merged) == {"ab": 1}


def test_a_convolution_that_is_fused_in_one_program_only_is_not_shared() -> None:
    fused, used_twice = [CONV, SIGMOID], [CONV, SIGMOID, ("add", 1, 0)]
    assert shared(merge(members(fused, used_twice), KEEP_ALL)) == {"a": 1, "b": 3}


@pytest.mark.parametrize("other", ["(pixel - 127) / 128", "letterbox"])
def test_other_pictures_share_nothing(other: str) -> None:
    assert shared(merge(members([CONV, RELU], [CONV, RELU], b=other), KEEP_ALL)) == {"a": 1, "b": 1}


def test_what_is_cheaper_to_compute_than_to_keep_is_computed_by_each() -> None:
    programs = members([CONV, ("pool", 0, 0), SIGMOID], [CONV, ("pool", 0, 0), RELU])
    pool = next(step for step in programs[0].steps.values() if step.kernel.node.op.startswith("aten.max_pool2d"))
    conv = next(step for step in programs[0].steps.values() if step.kernel.node.op.startswith("aten.conv"))
    dear, cheap = 1.0, 1e-9
    costs = CostModel(bytes_per_s=1e6, call_s=0, measured={conv.identity: dear, pool.identity: dear})
    assert shared(merge(programs, costs)) == {"ab": 2, "a": 1, "b": 1}
    costs = CostModel(bytes_per_s=1e6, call_s=0, measured={conv.identity: cheap, pool.identity: cheap})
    assert shared(merge(programs, costs)) == {"a": 3, "b": 3}


def test_a_cheap_end_that_makes_a_value_larger_stays_with_each() -> None:
    larger = Node("larger", "aten.upsample_nearest2d.vec", (NodeRef("conv"), None, (4.0, 4.0)), {}, (-1, 4, 24, 24))
    ends = [Node("end", f"aten.{name}.default", (NodeRef("larger"),), {}, larger.shape) for name in ("relu", "sigmoid")]
    weights = {"w": torch.ones(CHANNELS, CHANNELS, 1, 1)}
    args = (NodeRef("image"), ParameterRef("w"), None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1)
    conv = Node("conv", "aten.convolution.default", args, {}, (-1, CHANNELS, SIDE, SIDE))
    programs = [
        member(name, Program(IMAGE, (conv, larger, end), ("end",), ("w",)), weights)
        for name, end in zip("ab", ends, strict=True)
    ]
    convolution = next(iter(programs[0].steps))
    dear = CostModel(flops_per_s=1e15, bytes_per_s=1e6, call_s=0, measured={convolution: 1.0})
    assert shared(merge(programs, dear)) == {"ab": 1, "a": 2, "b": 2}
    assert shared(merge(programs, KEEP_ALL)) == {"ab": 2, "a": 1, "b": 1}


def test_two_programs_of_one_name_are_refused() -> None:
    (one,) = members([CONV])
    with pytest.raises(ValueError, match="same name"):
        merge([one, one])


def test_the_picture_itself_may_be_an_output() -> None:
    merged = merge(members([], [CONV]))
    batch = torch.randn(2, CHANNELS, SIDE, SIDE)
    found = MergedRun(merged, by_digest(write([CONV], "b_")[1]))(batch, batch)
    assert same_bits(found["a"], (batch,))
    assert merged.members["a"].image == IMAGE
