"""Equal parameters are one tensor, which goes with its last user; what is not as it was verified is refused."""

from __future__ import annotations

import dataclasses
import gc
import os
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.engine import EngineError
from framepilot_app.models.contents import read_contents
from framepilot_app.models.folder import write_folder
from framepilot_app.models.model import Example, Model, ModelError
from framepilot_app.models.parameters import KNOWN_FILES, ParameterStore, UnsharedStore
from framepilot_app.models.verify import read_spec
from support.networks import finish
from support.random_programs import CHANNELS, SIDE, write
from support.tiny_model import TINY_SPEC

CPU = torch.device("cpu")
STEM = [("conv", 0, 1), ("relu", 0, 0), ("conv", 0, 2)]
BATCH = torch.ones(1, CHANNELS, SIDE, SIDE)


def model(folder: Path, word=STEM, prefix: str = "n") -> Model:
    """A folder with the program of this word; its digests are right, and nothing else of it is looked at."""
    program, weights = write(word, prefix)
    write_folder(folder, TINY_SPEC, program, weights, Example(BATCH, ()))
    return opened(folder)


def opened(folder: Path) -> Model:
    spec, sha256 = read_spec(folder)
    return Model(folder, spec, sha256)


def pass_a_tick(path: Path) -> None:
    """Until the clock of the file system has gone on since this file was written."""
    probe = path.with_name("probe")
    while True:
        probe.write_bytes(b"")
        if probe.stat().st_ctime_ns > path.stat().st_ctime_ns:
            probe.unlink()
            return


def compiled(store: ParameterStore, which: Model):
    return finish(torch_engine.compile_with(which.program(), store.attach(which), CPU))


def bytes_of(which: Model) -> int:
    return sum(tensor.nbytes for tensor in load_file(which.weights).values())


@pytest.fixture
def store() -> ParameterStore:
    return ParameterStore()


def test_models_with_equal_parameters_have_them_once(store: ParameterStore, tmp_path: Path) -> None:
    first, second = model(tmp_path / "a"), model(tmp_path / "b", [*STEM, ("conv", 0, 0)], "other names ")
    one = compiled(store, first)
    assert store.unique_bytes == store.referenced_bytes == bytes_of(first)
    two = compiled(store, second)
    assert store.unique_bytes == bytes_of(second)
    assert store.referenced_bytes == bytes_of(first) + bytes_of(second)
    assert {id(form.tensor) for form in one._stage._forms} < {id(form.tensor) for form in two._stage._forms}
    assert torch.equal(one(BATCH)[0], finish(torch_engine.compile(first.program(), first.weights, CPU))(BATCH)[0])


def test_without_sharing_each_program_has_its_own_and_takes_it_along(tmp_path: Path) -> None:
    store, which = UnsharedStore(), model(tmp_path / "a")
    one, two = compiled(store, which), compiled(store, which)
    assert store.unique_bytes == store.referenced_bytes == 2 * bytes_of(which)
    assert {id(form.tensor) for form in one._stage._forms}.isdisjoint(id(form.tensor) for form in two._stage._forms)
    del two
    assert store.unique_bytes == store.referenced_bytes == bytes_of(which)
    del one
    assert store.unique_bytes == store.referenced_bytes == 0


def test_the_last_user_takes_a_parameter_along_without_the_garbage_collector(
    store: ParameterStore, tmp_path: Path
) -> None:
    first, second = model(tmp_path / "a"), model(tmp_path / "b", [*STEM, ("conv", 0, 0)])
    gc.disable()
    try:
        one, two = compiled(store, first), compiled(store, second)
        del two
        assert store.unique_bytes == store.referenced_bytes == bytes_of(first)
        one(BATCH)
        del one
        assert store.unique_bytes == store.referenced_bytes == 0
    finally:
        gc.enable()


def test_a_compilation_that_is_given_up_keeps_nothing(store: ParameterStore, tmp_path: Path) -> None:
    which = model(tmp_path / "a")
    loading = torch_engine.compile_with(which.program(), store.attach(which), CPU)
    while store.unique_bytes == 0:
        next(loading)
    loading.close()
    del loading
    assert store.unique_bytes == store.referenced_bytes == 0


def test_equal_names_with_other_contents_are_kept_apart(store: ParameterStore, tmp_path: Path) -> None:
    first = model(tmp_path / "a", [("conv", 0, 1)])
    second = model(tmp_path / "b", [("conv", 0, 2)])
    assert first.program().parameters == second.program().parameters
    one, two = compiled(store, first), compiled(store, second)
    assert store.unique_bytes == store.referenced_bytes == bytes_of(first) + bytes_of(second)
    assert not torch.equal(one(BATCH)[0], two(BATCH)[0])


def test_a_weight_that_is_packed_in_two_ways_is_there_twice(store: ParameterStore, tmp_path: Path) -> None:
    which = model(tmp_path / "a", [("conv", 0, 0)])
    program = which.program()
    (convolution,) = program.nodes
    strided = dataclasses.replace(
        program, nodes=(dataclasses.replace(convolution, args=(*convolution.args[:3], (2, 2), *convolution.args[4:])),)
    )
    held = [finish(torch_engine.compile_with(each, store.attach(which), CPU)) for each in (program, strided)]
    assert store.unique_bytes == 2 * bytes_of(which)
    assert held[0](BATCH)[0].shape != held[1](BATCH)[0].shape


def test_a_file_is_read_once_while_it_stays_the_same(
    store: ParameterStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = model(tmp_path / "a")
    read: list[Path] = []

    def counted(path: Path):
        read.append(path)
        return read_contents(path)

    monkeypatch.setattr("framepilot_app.models.parameters.read_contents", counted)
    for _ in range(3):
        store.attach(which)
    assert read == [which.weights]
    pass_a_tick(which.weights)
    which.weights.touch()
    store.attach(which)
    assert len(read) == 2


def test_what_files_contain_is_not_remembered_for_ever(store: ParameterStore, tmp_path: Path) -> None:
    for number in range(KNOWN_FILES + 3):
        store.attach(model(tmp_path / f"{number}", prefix=f"{number}_"))
    assert len(store._contents) == KNOWN_FILES


def corrupt(path: Path) -> str:
    """Change one number of a parameter; its name."""
    pass_a_tick(path)
    tensors = load_file(path)
    name = max(tensors)
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[-1] += 1
    path.write_bytes(save(tensors))
    return name


def test_a_corrupt_parameter_is_refused(store: ParameterStore, tmp_path: Path) -> None:
    which = model(tmp_path / "a")
    corrupt(which.weights)
    with pytest.raises(ModelError, match=r"not those that were verified: sha256 .* fetch the model again"):
        store.attach(which)


def test_a_corrupt_parameter_is_named_where_the_file_was_good_before(store: ParameterStore, tmp_path: Path) -> None:
    which = model(tmp_path / "a")
    running = compiled(store, which)
    before = running(BATCH)[0]
    name = corrupt(which.weights)
    with pytest.raises(ModelError, match=rf"\({name}\)"):
        store.attach(which)
    assert torch.equal(running(BATCH)[0], before)


@pytest.mark.parametrize("times", ["as they are", "set back"])
def test_a_file_that_is_changed_while_it_is_mapped_is_refused(
    store: ParameterStore, tmp_path: Path, times: str
) -> None:
    which = model(tmp_path / "a")
    parameters = store.attach(which)
    status = which.weights.stat()
    pass_a_tick(which.weights)
    with which.weights.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")
    if times == "set back":
        os.utime(which.weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(EngineError, match="was changed while it was in use; fetch the model again"):
        finish(torch_engine.compile_with(which.program(), parameters, CPU))
    assert store.unique_bytes == 0


def test_a_file_that_is_changed_while_a_weight_is_copied_is_not_shared(store: ParameterStore, tmp_path: Path) -> None:
    which = model(tmp_path / "a")
    parameters = store.attach(which)

    def make():
        corrupt(which.weights)
        yield
        return torch.zeros(1)

    name = which.program().parameters[0]
    with pytest.raises(EngineError, match="was changed"):
        finish(parameters.form(name, "any", make))
    assert store.find((parameters.contents.parameters[name].digest, "any")) is None


def test_a_file_that_went_away_is_refused(store: ParameterStore, tmp_path: Path) -> None:
    which = model(tmp_path / "a")
    store.attach(which)
    which.weights.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        store.attach(which)


@pytest.mark.parametrize("content", [b"", b"\x02\0\0\0\0\0\0\0{}x"[:9], b"\xff" * 30, b"\x02\0\0\0\0\0\0\0[]"], ids=str)
def test_what_is_no_parameter_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not a safetensors file"):
        read_contents(path)


def test_a_file_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save({"w": torch.ones(100)})[:-1])
    with pytest.raises(ModelError, match="ends within 'w'"):
        read_contents(path)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3, 2)], ids=str)
def test_contents_are_types_shapes_and_bytes(tmp_path: Path, kind: torch.dtype, shape: tuple[int, ...]) -> None:
    path = tmp_path / "weights.safetensors"
    tensor = torch.ones(shape).to(kind)
    path.write_bytes(save({"first": tensor, "second": tensor.clone(), "third": torch.zeros(5)}))
    found = read_contents(path).parameters
    assert found["first"] == found["second"]
    assert found["first"].digest != found["third"].digest
    assert found["first"].type.nbytes == tensor.nbytes
    assert found["first"].type.shape == shape


def test_threads_that_attach_while_programs_come_and_go_see_the_same(store: ParameterStore, tmp_path: Path) -> None:
    models = [model(tmp_path / f"{number}", [*STEM, ("conv", 0, number)]) for number in range(3)]
    failures: list[Exception] = []
    ended = threading.Event()

    def attach() -> None:
        try:
            while not ended.is_set():
                for which in models:
                    store.attach(which)
                assert store.unique_bytes <= store.referenced_bytes
        except Exception as error:  # noqa: BLE001 told below
            failures.append(error)

    threads = [threading.Thread(target=attach) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        held = [compiled(store, which) for which in models]
        assert store.unique_bytes < store.referenced_bytes
        del held
    ended.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.unique_bytes == 0
