"""Stages of one form run in one call, each as it does by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from framepilot_app.graphs.engine import EngineError
from framepilot_app.graphs.torch_stage import TorchStage
from framepilot_app.models.parameters import ParameterStore
from framepilot_app.modules import alike
from framepilot_app.modules.alike import Alike
from framepilot_app.modules.stages import ReadyStage
from support.headed import joint_plan, serving, write_headed


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> list[ReadyStage]:
    """Three heads on one backbone: stages of one form, whose parameters differ."""
    store: Path = tmp_path_factory.mktemp("store")
    parameters = ParameterStore()
    models = [write_headed(store, f"head{number}", head=number) for number in range(3)]
    plan = joint_plan(parameters, [serving(model, parameters, f"s/{i}") for i, model in enumerate(models)])
    return [
        ready for each, ready in zip(plan.merged.stages, plan.ready, strict=True) if len(each.users) == 1 and ready.form
    ]


def values_for(stage: ReadyStage, rows: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(rows)
    return [torch.rand(rows, *shape[1:], generator=generator) for shape in stage.stage.inputs.values()]


def forbid(*_: object) -> None:
    raise AssertionError("it is to run with the others")


def test_each_gives_what_it_gives_by_itself_though_none_is_called(heads: list[ReadyStage], monkeypatch):
    assert len(heads) == 3
    inputs = [values_for(each, rows) for rows, each in enumerate(heads, start=1)]
    alone = [each.compiled(*values) for each, values in zip(heads, inputs, strict=True)]
    together = Alike(heads)
    monkeypatch.setattr(TorchStage, "__call__", forbid)
    for found, expected in zip(together.run(heads, inputs), alone, strict=True):
        assert all(map(torch.equal, found, expected))
        assert len(found) == len(expected)
    assert torch.equal(together.run(heads[1:], inputs[1:])[0][0], alone[1][0]), "as many as there are in a batch"


def test_one_that_fails_is_told_from_the_others(heads: list[ReadyStage]):
    inputs = [values_for(each, 1) for each in heads]
    inputs[1] = [value[:, :1] for value in inputs[1]]
    with pytest.raises(EngineError):
        Alike(heads).run(heads, inputs)


def test_what_was_made_for_the_plan_before_is_taken_over(heads: list[ReadyStage], monkeypatch):
    before = Alike(heads)
    monkeypatch.setattr(alike, "Several", forbid)
    inputs = [values_for(each, 2) for each in heads[:2]]
    assert len(Alike(heads[:2], before).run(heads[:2], inputs)) == 2


def test_there_is_nothing_to_be_made_for_one(heads: list[ReadyStage], monkeypatch):
    monkeypatch.setattr(alike, "Several", forbid)
    (found,) = Alike(heads[:1]).run(heads[:1], [values_for(heads[0], 2)])
    assert all(map(torch.equal, found, heads[0].compiled(*values_for(heads[0], 2))))
