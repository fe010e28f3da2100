"""What loading a model takes: its parameters unless they are there, its values for the largest batch, its engines."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from framepilot.contract.desired import Engine
from framepilot.contract.observed import MemoryKind
from framepilot_app.graphs.file_engines import FILE_ENGINES
from framepilot_app.models.model import Model
from framepilot_app.models.parameters import ParameterStore, UnsharedStore
from framepilot_app.modules.footprint import needs
from framepilot_app.modules.headroom import Needs, together
from framepilot_app.modules.loading import Candidate
from framepilot_app.modules.rivals import asked
from support.headed import BACKBONE_BYTES, CPU, HEAD_BYTES, SIDE, WIDTH, loaded, write_headed

TRIED = asked(Engine.AUTO, CPU)
needs_engines = pytest.mark.skipif(any(FILE_ENGINES[each].missing() for each in TRIED), reason="the engines are extras")

VALUE_BYTES = 4 * WIDTH * SIDE * SIDE
"""Of what a convolution gives for one picture."""


@pytest.fixture
def one(tmp_path: Path) -> Model:
    return write_headed(tmp_path, "one", head=1)


@pytest.fixture
def other(tmp_path: Path) -> Model:
    return write_headed(tmp_path, "other", head=2)


def of(
    model: Model, store: ParameterStore, engine: Engine = Engine.TORCH, largest: int = 4, device: torch.device = CPU
) -> Needs:
    return needs(Candidate.read(model, store, engine), store, device, largest)


def brought(wanted: Needs, store: ParameterStore) -> int:
    """What it brings of parameters."""
    return together([wanted], store.lacking(wanted.parameters)) - wanted.own - wanted.passing


def all_of(wanted: Needs) -> int:
    """What its parameters take if none of them is there."""
    return sum(wanted.parameters.values())


def test_it_brings_the_parameters_that_no_other_model_has(one: Model, other: Model):
    store = ParameterStore()
    first, second = of(one, store), of(other, store)
    assert brought(first, store) == all_of(first) >= BACKBONE_BYTES + HEAD_BYTES
    version = loaded(one, store)
    heads = [nbytes for key, nbytes in second.parameters.items() if key not in first.parameters]
    assert brought(second, store) == sum(heads) >= HEAD_BYTES
    assert len(heads) == 2
    assert brought(first, store) == 0
    del version
    assert brought(first, store) == all_of(first), "they went with the last that had them"


def test_two_models_that_are_loaded_side_by_side_bring_what_they_have_in_common_once(one: Model, other: Model):
    def both(store: ParameterStore) -> tuple[int, int]:
        """How many parameters they bring, and how many they have."""
        every = [of(one, store), of(other, store)]
        lacking = store.lacking([key for each in every for key in each.parameters])
        rest = sum(each.own for each in every) + every[0].passing
        assert together(every, lacking) - rest <= sum(map(all_of, every))
        return len(lacking), sum(len(each.parameters) for each in every)

    assert both(ParameterStore()) == (6, 8)
    assert both(UnsharedStore()) == (8, 8)


def test_its_values_count_for_the_largest_batch(one: Model):
    store = ParameterStore()
    small, large = of(one, store, largest=1), of(one, store, largest=16)
    # At one moment there are what a convolution takes and what it gives.
    assert large.passing >= 16 * 2 * VALUE_BYTES
    assert large.passing == pytest.approx(16 * small.passing, rel=0.01)
    assert (large.own, large.parameters) == (small.own, small.parameters)
    assert large.serving == large.passing, "its batches need it when it serves, too"


@needs_engines
def test_every_engine_that_is_tried_has_parameters_and_buffers_of_its_own(one: Model):
    store = ParameterStore()
    torchs, every, *alone = (of(one, store, each, 4000) for each in (Engine.TORCH, Engine.AUTO, *TRIED))
    assert every.parameters == torchs.parameters
    assert every.own - torchs.own == pytest.approx(sum(each.own for each in alone), abs=1)
    assert all(each.own >= BACKBONE_BYTES + HEAD_BYTES + 4000 * 2 * VALUE_BYTES for each in alone)
    assert all(each.parameters == {} for each in alone), "torch does not run them"
    assert every.serving == max(each.serving for each in (torchs, *alone)), "any of them may be the one that serves"


@needs_engines
def test_small_as_a_model_is_its_file_for_engines_is_written_by_a_process_that_imports_much(one: Model):
    store = ParameterStore()
    assert of(one, store, Engine.OPENVINO, 1).own == of(one, store, Engine.ONNX_RUNTIME, 2).own >= 32 << 20


def test_on_a_gpu_it_is_the_memory_of_the_gpu(one: Model):
    store = ParameterStore()
    assert of(one, store).kind is MemoryKind.HOST
    assert of(one, store, Engine.AUTO, device=torch.device("cuda")).kind is MemoryKind.GPU
