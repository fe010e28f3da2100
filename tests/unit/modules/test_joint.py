"""A batch of several modules gives what each of them gives alone; what it takes is charged, and counted, by use."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot_app.graphs.costs import CostModel
from framepilot_app.graphs.engine import EngineError
from framepilot_app.graphs.program import Node, NodeRef, Program
from framepilot_app.modules.joint import Part, PartDone
from framepilot_app.modules.preprocess import Prepared
from support.clock import Clock
from support.headed import push
from support.merged_run import same_bits
from support.random_programs import CHANNELS, IMAGE, SIDE, words, write
from support.running_stages import KEEP_ALL, RunningStages, noise

CONV, RELU, SIGMOID, POOL = ("conv", 0, 0), ("relu", 0, 0), ("sigmoid", 0, 0), ("pool", 0, 0)
STEM = [CONV, RELU, ("conv", 0, 1), RELU]
PICTURES = 4


def running(words_, more_outputs: int = 0, costs: CostModel = KEEP_ALL) -> RunningStages:
    return RunningStages(
        {f"p{index}": write(word, f"n{index}_", more_outputs) for index, word in enumerate(words_)}, costs
    )


def part(stages: RunningStages, name: str, pictures: list[Prepared]) -> Part:
    module = stages.modules[name]
    push(module, *pictures)
    return Part(module, module.lane, module.lane.take_with((len(pictures),), lambda _items: True))


def run(stages: RunningStages, batch: dict[str, list[Prepared]]) -> dict[str, PartDone]:
    """One batch of these pictures for these modules; what is charged is all that it took."""
    clock = Clock(look_s=1)
    done = stages.plan.run([part(stages, name, pictures) for name, pictures in batch.items()], clock, lambda: None)
    assert sum(each.seconds for each in done) == pytest.approx(clock.now - 1)
    assert all(each.seconds > 0 for each in done)
    return dict(zip(batch, done, strict=True))


def tensors(done: PartDone) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in done.outputs)


def counts(stages: RunningStages) -> list[tuple[int, int, int]]:
    """Batches, pictures and items of each stage of several modules."""
    return [(ready.batches, ready.pictures, ready.items) for _, ready in stages.plan.shared()]


@settings(max_examples=20)
@given(words(), st.integers(0, 2), st.integers(1, 3))
def test_modules_with_the_same_pictures_get_the_very_bits_that_they_get_alone(words_, more_outputs, size) -> None:
    stages = running(words_, more_outputs)
    pictures = [noise(seed) for seed in range(size)]
    if stages.modules:
        for name, done in run(stages, dict.fromkeys(stages.modules, pictures)).items():
            assert same_bits(tensors(done), tuple(stages.outputs(name, pictures))), name


@st.composite
def batches(draw: st.DrawFn, names: list[str]) -> list[dict[str, list[int]]]:
    """Every module has every picture once, in an order and in batches of its own; any of them run together."""
    of = {}
    for name in names:
        left = list(draw(st.permutations(range(PICTURES))))
        sizes = draw(st.lists(st.integers(0, 3), min_size=3, max_size=3))
        of[name] = [[left.pop() for _ in range(min(size, len(left)))] for size in sizes] + [left]
    rounds = [{name: of[name][turn] for name in names if of[name][turn]} for turn in range(4)]
    return [each for each in rounds if each]


@settings(max_examples=12)
@given(words(), st.sampled_from([KEEP_ALL, CostModel(flops_per_s=1e7)]), st.data())
def test_whoever_runs_together_gets_what_it_gets_alone_and_what_is_shared_runs_once(words_, costs, data) -> None:
    stages = running(words_, 1, costs)
    pool = [noise(seed) for seed in range(PICTURES)]
    for batch in data.draw(batches([*stages.modules])):
        wanted = {name: [pool[index] for index in indices] for name, indices in batch.items()}
        for name, done in run(stages, wanted).items():
            for ours, alone in zip(tensors(done), stages.outputs(name, wanted[name]), strict=True):
                assert torch.allclose(ours, alone, rtol=1e-4, atol=1e-4, equal_nan=True), name
    for each, ready in stages.plan.shared():
        assert ready.pictures <= PICTURES
        assert ready.items == PICTURES * len(each.users)


@settings(max_examples=10)
@given(words(3), st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=3, max_size=3))
def test_pictures_may_come_again_within_a_module(words_, indices) -> None:
    stages = running(words_)
    pool = [noise(seed) for seed in range(3)]
    wanted = {name: [pool[index] for index in each] for name, each in zip(stages.modules, indices, strict=False)}
    if wanted:
        for name, done in run(stages, wanted).items():
            for ours, alone in zip(tensors(done), stages.outputs(name, wanted[name]), strict=True):
                assert torch.allclose(ours, alone, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert all(ready.pictures <= ready.items for _, ready in stages.plan.shared())


def two_heads() -> RunningStages:
    return running([[*STEM, SIGMOID], [*STEM, POOL]])


def test_a_picture_of_two_modules_is_one_of_their_stage() -> None:
    stages = two_heads()
    common, own = noise(0), noise(1)
    run(stages, {"p0": [common, own], "p1": [common]})
    assert counts(stages) == [(1, 2, 3)]


def test_what_a_module_has_alone_is_kept_for_the_other_one_which_only_runs_its_head() -> None:
    stages = two_heads()
    pictures = [noise(seed) for seed in range(3)]
    run(stages, {"p0": pictures})
    done = run(stages, {"p1": pictures})
    assert counts(stages) == [(1, 3, 6)]
    assert same_bits(tensors(done["p1"]), tuple(stages.outputs("p1", pictures)))


def test_pictures_that_one_of_a_batch_has_before_the_other_are_kept_for_it() -> None:
    stages = two_heads()
    pictures = [noise(seed) for seed in range(4)]
    run(stages, {"p0": pictures, "p1": pictures[:1]})
    run(stages, {"p1": pictures[1:]})
    assert counts(stages) == [(1, 4, 8)]


def test_kept_and_new_pictures_run_in_one_batch() -> None:
    stages = two_heads()
    old, new = noise(0), noise(1)
    run(stages, {"p0": [old]})
    done = run(stages, {"p1": [new, old]})
    assert counts(stages) == [(2, 2, 3)]
    for ours, alone in zip(tensors(done["p1"]), stages.outputs("p1", [new, old]), strict=True):
        assert torch.allclose(ours, alone, atol=1e-5)


def test_what_everybody_has_is_not_kept() -> None:
    stages = two_heads()
    pictures = [noise(seed) for seed in range(2)]
    run(stages, dict.fromkeys(("p0", "p1"), pictures))
    assert all(not each.kept for each in pictures)


def test_of_two_shared_stages_the_first_does_not_run_for_what_the_second_has_kept() -> None:
    stages = running([[*STEM, SIGMOID], [*STEM, POOL], [CONV, RELU, SIGMOID]])
    picture = noise(0)
    for name in ("p0", "p1", "p2"):
        run(stages, {name: [picture]})
    assert counts(stages) == [(1, 1, 3), (1, 1, 2)]


def test_equal_programs_run_once_and_each_gets_it_all() -> None:
    stages = running([STEM, STEM])
    pictures = [noise(seed) for seed in range(2)]
    done = run(stages, dict.fromkeys(("p0", "p1"), pictures))
    later = run(stages, {"p0": [pictures[0]]})
    assert same_bits(tensors(done["p0"]), tensors(done["p1"]))
    assert same_bits(tensors(done["p0"]), tuple(stages.outputs("p0", pictures)))
    assert torch.allclose(tensors(later["p0"])[0], tensors(done["p0"])[0][:1])


def test_what_is_shared_is_charged_by_items_and_a_head_to_its_module() -> None:
    stages = two_heads()
    pictures = [noise(seed) for seed in range(3)]
    done = run(stages, {"p0": pictures, "p1": pictures[:1]})
    # Each of the three stages takes a second, and all of it seven: two looks a stage, one at the end.
    shared_s = own_s = 7 / 3
    assert done["p0"].seconds == pytest.approx(shared_s * 3 / 4 + own_s)
    assert done["p1"].seconds == pytest.approx(shared_s * 1 / 4 + own_s)


def test_how_long_a_stage_takes_is_told_as_it_was_measured_and_how_much_it_is_of_each_program() -> None:
    stages = two_heads()
    (before,) = stages.plan.observed()
    (ready,) = (each for _, each in stages.plan.shared())
    assert [(point.pictures, point.ms / 1000) for point in before.points] == [*ready.latency.points]
    flops = [stages.merged.members[name].flops for name in before.modules]
    assert [share * whole for share, whole in zip(before.shares, flops, strict=True)] == pytest.approx(
        [before.share * max(flops)] * 2, rel=1e-3
    )
    ready.ran(1, 100.0)
    (after,) = stages.plan.observed()
    assert after.points == before.points


def test_partners_are_those_that_share_a_stage() -> None:
    stages = running([[*STEM, SIGMOID], [*STEM, POOL], [POOL, SIGMOID], [POOL, RELU]])
    lanes = {name: module.lane for name, module in stages.modules.items()}
    assert stages.plan.partners(lanes["p0"]) == {lanes["p1"]}
    assert stages.plan.partners(lanes["p2"]) == {lanes["p3"]}
    assert stages.plan.partners(two_heads().modules["p0"].lane) == frozenset()


def test_a_stage_that_fails_fails_the_batch() -> None:
    stages = two_heads()

    def fail(*_inputs):
        raise EngineError("no memory")

    stages.ready[0].compiled = fail
    with pytest.raises(EngineError, match="no memory"):
        run(stages, {"p0": [noise(0)], "p1": [noise(1)]})


@pytest.mark.parametrize(
    ("operator", "argument", "shape"),
    [
        ("aten.reshape.default", (-1, SIDE, SIDE), (-1, SIDE, SIDE)),
        ("aten.permute.default", (1, 0, 2, 3), (CHANNELS, -1, SIDE, SIDE)),
    ],
    ids=["more rows", "the batch elsewhere"],
)
def test_a_value_that_has_not_one_row_for_each_picture_cannot_be_shared(operator, argument, shape) -> None:
    """Programs may have such values; but which row is whose could not be told."""
    before, weights = write([CONV, RELU], "")
    mixed = Node("mixed", operator, (NodeRef(before.outputs[0]), argument), {}, shape)
    program = Program(IMAGE, (*before.nodes, mixed), ("mixed",), before.parameters)
    with pytest.raises(EngineError, match="has not one row for each picture"):
        RunningStages({"a": (program, weights), "b": (program, weights)})
