"""Two heads on one real backbone: what they share runs once, with the results of the models alone, and loads once."""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.difference import difference
from framepilot_app.graphs.identity import Member
from framepilot_app.graphs.merging import merge
from framepilot_app.models.cli import app
from framepilot_app.models.contents import read_contents
from framepilot_app.models.member import member_of
from framepilot_app.models.model import Model
from framepilot_app.models.parameters import ParameterStore
from framepilot_app.models.verify import open_model
from framepilot_app.modules.lane import Version
from framepilot_app.modules.loading import Candidate, load
from support.another_end import with_another_end
from support.merged_run import CPU, MergedRun, same_bits
from support.networks import finish
from support.samples.build import build
from support.torch_threads import torch_threads

pytestmark = [pytest.mark.samples, pytest.mark.timeout(600)]

EXCHANGED = 6
"""Nodes at the end of the backbone that each of the two has of its own."""


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    store = tmp_path_factory.mktemp("store")
    backbone = open_model(build() / "models" / "embedder" / "1")
    return (
        with_another_end(backbone, store, "hats", EXCHANGED, 1, 4),
        with_another_end(backbone, store, "coats", EXCHANGED, 2, 7),
    )


def member(model: Model) -> Member:
    return member_of(model.spec.name, model.program(), model.spec.input, read_contents(model.weights))


@pytest.mark.parametrize("size", [1, 4, 16])
def test_a_shared_backbone_runs_once_with_the_results_of_the_models_alone(heads, size: int) -> None:
    merged = merge([member(model) for model in heads])
    assert [len(each.users) for each in merged.stages] == [2, 1, 1]
    kernels = [len(each.stage.kernels) for each in merged.stages]
    assert kernels[0] > 40
    tensors: dict[str, torch.Tensor] = {}
    for model in heads:
        names = {name: parameter.digest for name, parameter in read_contents(model.weights).parameters.items()}
        tensors |= {names[name]: tensor for name, tensor in load_file(model.weights).items()}
    spec = heads[0].spec.input
    batch = torch.randn(size, 3, spec.height, spec.width, generator=torch.Generator().manual_seed(size))
    run = MergedRun(merged, tensors)
    found = run(batch, batch)
    assert run.runs == 3
    for model in heads:
        alone = finish(torch_engine.compile(model.program(), model.weights, CPU))(batch)
        assert same_bits(found[model.spec.name], alone)


def test_it_is_said_where_and_why_the_common_part_ends(heads) -> None:
    found = difference(*(member(model) for model in heads))
    assert 0 < found.first.all_nodes - found.first.nodes <= EXCHANGED + 1
    assert found.shared_nodes == found.first.nodes
    assert found.first.flops_share > 0.8
    (end,) = found.ends
    assert end.first == end.second
    assert "other contents" in end.reason


def test_the_command_says_the_same(heads, tmp_path: Path) -> None:
    folders = [str(model.folder) for model in heads]
    answer = CliRunner().invoke(app, ["diff", *folders, "-o", "json"])
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert document["a"]["model"] == "hats"
    assert document["a"]["commonNodes"] == document["shared"]["nodes"]
    assert "other contents" in document["ends"][0]["reason"]
    answer = CliRunner().invoke(app, ["diff", *folders])
    assert answer.exit_code == 0, answer.output
    assert all(word in answer.output for word in ("hats 1", "coats 1", "run once for both", "other contents"))
    answer = CliRunner().invoke(app, ["diff", folders[0], folders[0]])
    assert "the same program" in answer.output
    answer = CliRunner().invoke(app, ["diff", folders[0], str(tmp_path / "nothing")])
    assert answer.exit_code == 1
    assert "error: " in answer.output


def test_modules_with_equal_parameters_load_them_once_and_free_them_with_the_last(heads) -> None:
    store = ParameterStore()
    versions: list[Version] = []
    # On several threads some weights are there twice.
    with torch_threads(1):
        for model in heads:
            candidate = Candidate.read(model, store)
            finish(load(candidate, CPU, 1, 1, time.perf_counter, versions.append, lambda _: None))
        del candidate
    contents = [read_contents(model.weights).parameters for model in heads]
    each = [sum(found.type.nbytes for found in one.values()) for one in contents]
    distinct = {found.digest: found.type.nbytes for one in contents for found in one.values()}
    assert store.referenced_bytes == sum(each)
    assert store.unique_bytes == sum(distinct.values()) < 0.9 * sum(each)
    gc.disable()
    try:
        versions.pop()
        assert store.unique_bytes == store.referenced_bytes == each[0]
        versions.pop()
        assert store.unique_bytes == store.referenced_bytes == 0
    finally:
        gc.enable()
