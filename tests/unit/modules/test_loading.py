"""Loading a version tries the engines that are asked for, and leaves one of them."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from framepilot.contract.desired import Engine
from framepilot.contract.observed import ProfilePoint
from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.engine import EngineError, Outputs
from framepilot_app.graphs.file_engines import FILE_ENGINES
from framepilot_app.graphs.program_form import ProgramForm
from framepilot_app.models.form_files import FormFiles
from framepilot_app.models.model import Model
from framepilot_app.models.parameters import ParameterStore
from framepilot_app.models.verify import open_model
from framepilot_app.modules.contest import MIXED, Contender, Contest
from framepilot_app.modules.lane import Version
from framepilot_app.modules.loading import Candidate, load
from framepilot_app.modules.rivals import asked, open_rivals
from framepilot_app.supervision.background import in_background
from support.fake_engine import FakeCompiled
from support.networks import finish
from support.tiny_model import write_tiny_model

CPU = torch.device("cpu")
SIZE, LIMIT = 2, 8
TRIED = asked(Engine.AUTO, CPU)
INSTALLED = all(FILE_ENGINES[engine].missing() is None for engine in TRIED)
needs_engines = pytest.mark.skipif(not INSTALLED, reason="the engines are extras")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return open_model(write_tiny_model(tmp_path / "store"))


FormFile = Callable[[ProgramForm], Path]


@pytest.fixture
def form_file(model: Model, tmp_path: Path) -> FormFile:
    return lambda form: FormFiles(tmp_path, form).get(model, threading.Event())


def read(model: Model, engine: Engine = Engine.AUTO) -> Candidate:
    return Candidate.read(model, ParameterStore(), engine)


def opened(candidate: Candidate, form_file: FormFile, device: torch.device = CPU) -> Contest:
    """On a thread of its own, as an engine may change how the one that opens it computes."""
    engines, trial = asked(candidate.engine, device), candidate.trial(SIZE, LIMIT)
    opening = functools.partial(open_rivals, engines, form_file, trial, device, threading.Event())
    return in_background(opening, "engines", low_priority=False).result()


@pytest.fixture(autouse=True)
def subnormal_numbers_stay_what_they_are() -> Iterator[None]:
    yield
    smallest = 5e-324
    assert smallest + smallest > smallest


def loaded(candidate: Candidate, rivals: Contest) -> Version:
    versions: list[Version] = []
    for _ in load(candidate, CPU, SIZE, LIMIT, time.perf_counter, versions.append, lambda _event: None, rivals):
        pass
    return versions[0]


@needs_engines
@pytest.mark.parametrize("engine", [Engine.TORCH, *TRIED])
def test_an_engine_that_is_named_serves_alone(model: Model, form_file: FormFile, engine: Engine) -> None:
    candidate = read(model, engine)
    version = loaded(candidate, opened(candidate, form_file))
    assert [each.name for each in version.engines] == [engine.value]
    assert [point.batch for point in version.profile] == [1, 2, 3, 4, 6, 8]
    (output,) = version.compiled(candidate.example.input)
    assert float((output - candidate.example.expected[0]).abs().max()) < 1e-5


@needs_engines
def test_all_are_measured_and_the_profile_is_that_of_the_one_that_serves(model: Model, form_file: FormFile) -> None:
    candidate = read(model)
    version = loaded(candidate, opened(candidate, form_file))
    assert {each.name for each in version.engines} - {MIXED} == {"torch", "onnxruntime", "openvino"}
    assert version.engines[0].reason is None
    assert version.engines[0].points == version.profile
    assert all(each.points and (each.reason or each.batches) for each in version.engines[1:])


def test_two_engines_each_run_the_sizes_at_which_they_are_fast(model: Model) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1
        return now

    def quick(batch: torch.Tensor) -> Outputs:
        nonlocal now
        now -= 0.9
        return reference(batch)

    candidate = read(model)
    reference = finish(torch_engine.compile(candidate.program, model.weights, CPU))
    slow = ProfilePoint(batch=2, p50_ms=1e9, p99_ms=1e9)
    other, versions = FakeCompiled(quick), list[Version]()
    finish(
        load(
            candidate,
            CPU,
            1,
            2,
            clock,
            versions.append,
            lambda _: None,
            Contest([Contender("other", other, {2: slow})]),
        )
    )
    (version,) = versions
    assert [(each.name, each.batches) for each in version.engines] == [("mixed", ()), ("other", (1,)), ("torch", (2,))]
    assert [point.batch for point in version.profile] == [1, 2]
    other.batches.clear()
    items = candidate.example.input
    for size in (1, 2, 3):
        batch = items[torch.arange(size) % len(items)]
        assert torch.allclose(version.compiled(batch)[0], reference(batch)[0])
    assert other.batches == [1]


def test_engines_that_are_not_installed_are_skipped_with_the_reason(
    model: Model, form_file: FormFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in TRIED:
        monkeypatch.setitem(sys.modules, FILE_ENGINES[engine].package, None)
    candidate = read(model)
    version = loaded(candidate, opened(candidate, form_file))
    assert version.engines[0].name == "torch"
    assert all("not installed" in (each.reason or "") for each in version.engines[1:])


def test_one_that_is_named_and_not_installed_is_refused(
    model: Model, form_file: FormFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    candidate = read(model, Engine.OPENVINO)
    with pytest.raises(EngineError, match=r"engine openvino: not installed: .*app\[openvino\]"):
        loaded(candidate, opened(candidate, form_file))


def test_one_that_is_named_and_has_no_compiler_is_refused(
    model: Model, form_file: FormFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    candidate = read(model, Engine.AOT_INDUCTOR)
    with pytest.raises(
        EngineError, match=r"engine aotinductor: there is no C\+\+ compiler 'no-such-compiler'; install"
    ):
        loaded(candidate, opened(candidate, form_file))


@needs_engines
def test_a_form_that_two_engines_read_is_asked_for_once(model: Model) -> None:
    asked_for: list[str] = []

    def unfit(form: ProgramForm) -> Path:
        asked_for.append(form.name)
        raise EngineError("it has none")

    opened(read(model), unfit)
    assert asked_for == ["ONNX"]


@needs_engines
def test_a_program_without_an_onnx_form_is_served_by_torch(model: Model) -> None:
    def unfit(_form: ProgramForm) -> Path:
        raise EngineError("node: an operator that no ONNX is known for")

    candidate = read(model)
    version = loaded(candidate, opened(candidate, unfit))
    assert version.engines[0].name == "torch"
    assert {each.reason for each in version.engines[1:]} == {"node: an operator that no ONNX is known for"}


@needs_engines
def test_a_file_that_an_engine_cannot_read_is_its_reason(model: Model, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"not a model")
    candidate = read(model)
    version = loaded(candidate, opened(candidate, lambda _form: damaged))
    assert version.engines[0].name == "torch"
    assert all((each.reason or "").startswith("cannot take the program: ") for each in version.engines[1:])


def test_one_that_is_wrong_is_out_however_fast_it_is(model: Model) -> None:
    wrong = FakeCompiled(lambda batch: (torch.full((len(batch), 2), 9.0),))
    candidate = read(model)
    version = loaded(candidate, Contest([Contender("wrong", wrong)]))
    assert version.engines[0].name == "torch"
    assert "output 0 of its example differs" in (version.engines[-1].reason or "")


def test_one_that_raises_is_out(model: Model) -> None:
    def raises(batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raise EngineError("out of memory")

    version = loaded(read(model), Contest([Contender("raising", FakeCompiled(raises))]))
    assert [(each.name, each.reason) for each in version.engines] == [("torch", None), ("raising", "out of memory")]


def test_whoever_runs_it_alone_a_program_is_opened_up_if_torch_may_run_it(model: Model) -> None:
    expected = model.example().expected[0]
    fast = FakeCompiled(lambda batch: (expected.expand(len(batch), -1),))
    assert loaded(read(model), Contest([Contender("fast", fast)])).opened is not None
    assert loaded(read(model, Engine.ONNX_RUNTIME), Contest([Contender("fast", fast)])).opened is None


def test_a_program_that_torch_cannot_run_is_not_opened_up(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> Iterator[None]:
        yield
        raise EngineError("no such operator")

    monkeypatch.setattr(torch_engine, "compile_with", refuses)
    expected = model.example().expected[0]
    version = loaded(read(model), Contest([Contender("able", FakeCompiled(lambda _: (expected,)))]))
    assert version.engines[0].name == "able"
    assert version.opened is None


def test_a_gpu_has_torch_only(model: Model, form_file: FormFile) -> None:
    gpu = torch.device("cuda")
    assert asked(Engine.AUTO, gpu) == ()
    (out,) = opened(read(model, Engine.OPENVINO), form_file, gpu).refused
    assert out.reason == "runs on a CPU only"


def test_nothing_is_held_of_the_engines_that_lost(model: Model) -> None:
    gc.disable()
    try:
        slow = FakeCompiled(lambda batch: (time.sleep(0.02), torch.zeros(len(batch), 2))[1:])
        held = weakref.ref(slow)
        contest = Contest([Contender("slow", slow)])
        del slow
        version = loaded(read(model), contest)
        assert version.engines[0].name == "torch"
        assert held() is None
    finally:
        gc.enable()


@needs_engines
def test_nobody_opens_engines_for_what_was_given_up(model: Model, form_file: FormFile) -> None:
    given_up = threading.Event()
    given_up.set()
    trial = read(model).trial(SIZE, LIMIT)
    assert open_rivals(TRIED, form_file, trial, CPU, given_up).contenders == []


def test_what_runs_in_the_background_gives_its_result_or_its_error() -> None:
    assert in_background(lambda: 7, "seven", low_priority=True).result() == 7
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 / 0, "error", low_priority=False).result()
