"""Every sample model on every engine: the example comes out as it was packed, within the model's own tolerance."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from framepilot.contract.desired import Engine
from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.file_engines import FILE_ENGINES
from framepilot_app.models.form_files import FormFiles
from framepilot_app.models.verify import open_model
from framepilot_app.modules.rivals import asked
from support.networks import finish
from support.samples.build import build

pytestmark = [pytest.mark.samples, pytest.mark.timeout(600)]

CPU = torch.device("cpu")
MODELS = ("age/1", "age/2", "centerface/1", "centerface/2", "embedder/1", "embedder/2", "gender/1")


@pytest.fixture(scope="module")
def samples() -> Path:
    return build() / "models"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("engine", [Engine.TORCH, *asked(Engine.AUTO, CPU)])
@pytest.mark.parametrize("name", MODELS)
def test_the_example_comes_out_as_it_was_packed(samples: Path, cache: Path, name: str, engine: Engine) -> None:
    model = open_model(samples / name)
    program, example = model.program(), model.example()
    if engine is Engine.TORCH:
        compiled = finish(torch_engine.compile(program, model.weights, CPU))
    else:
        opener = FILE_ENGINES[engine]
        pytest.importorskip(opener.package)
        file = FormFiles(cache, opener.form).get(model, threading.Event())
        compiled = opener.open_model(file, program.input, 1)
    for copies in (1, 3):
        batch = example.input.repeat(copies, 1, 1, 1)
        for found, expected in zip(compiled(batch), example.expected, strict=True):
            wanted = expected.repeat(copies, *(1 for _ in expected.shape[1:]))
            assert float((found - wanted).abs().max()) <= model.spec.tolerance


def test_the_samples_are_all_here(samples: Path) -> None:
    assert {f"{folder.parent.name}/{folder.name}" for folder in samples.glob("*/[0-9]")} == set(MODELS)
