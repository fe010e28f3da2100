"""A cache that processes share: none takes from another what it uses, whatever becomes of any of them."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from framepilot.contract.desired import ModelRef
from framepilot_app.models.cache import ModelCache
from framepilot_app.models.model import WEIGHTS_FILE, ModelError
from framepilot_app.models.patience import Patience
from framepilot_app.models.store import ModelStore
from support.tiny_model import write_tiny_model

PATIENT = Patience("tiny", 60.0, lambda: False)

FETCH_AND_HOLD = """
import sys
from pathlib import Path
from framepilot.contract.desired import ModelRef
from framepilot_app.models.store import ModelStore
store = ModelStore(Path(sys.argv[1]), Path(sys.argv[2]))
print(store.fetch(ModelRef(name="tiny", version="1", uri=sys.argv[3])).sha256, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "node"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "store")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def ref(folder: Path, sha256: str | None = None) -> ModelRef:
    return ModelRef(name="tiny", version=folder.name, uri=folder.as_uri(), sha256=sha256)


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


@contextmanager
def process_that_holds(shared: Path, folder: Path) -> Iterator[str]:
    """Another process that has fetched a model; gives its digest."""
    arguments = [str(shared.parent / "cache-of-another"), str(shared), folder.as_uri()]
    with subprocess.Popen(
        [sys.executable, "-c", FETCH_AND_HOLD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture(autouse=True)
def disk_with_room(monkeypatch: pytest.MonkeyPatch) -> None:
    set_free(monkeypatch, 50)


def set_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """How many hundredths of the disk are free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=100, used=100 - free, free=free))


def test_what_another_process_uses_is_not_removed_and_goes_when_it_was_killed(
    shared: Path, folder: Path, cache: Path
) -> None:
    mine = ModelCache(shared, shared=False)
    with process_that_holds(shared, folder) as sha256:
        mine.prune(set())
        assert not mine.evict()
        assert names(shared) == {sha256}
        assert ModelStore(cache, shared).fetch(ref(folder, sha256)).sha256 == sha256
    mine.prune(set())
    assert names(shared) == {sha256}, "this process holds it now"


def test_what_a_process_held_that_ended_can_be_removed(shared: Path, folder: Path) -> None:
    with process_that_holds(shared, folder) as sha256:
        assert names(shared) == {sha256}
    ModelCache(shared, shared=False).prune(set())
    assert names(shared) == set()


def test_a_process_that_comes_later_finds_the_model_without_its_store(shared: Path, folder: Path, cache: Path) -> None:
    with process_that_holds(shared, folder) as sha256:
        pass
    shutil.rmtree(folder)
    ModelStore(cache, shared).prune(set())
    assert ModelStore(cache, shared).fetch(ref(folder, sha256)).sha256 == sha256


@pytest.mark.parametrize(("free", "stays"), [(21, True), (19, False)])
def test_a_shared_cache_keeps_unused_models_while_there_is_room(
    shared: Path, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, free: int, stays: bool
) -> None:
    earlier = ModelStore(cache, shared)
    sha256 = earlier.fetch(ref(folder)).sha256
    earlier.close()
    set_free(monkeypatch, free)
    ModelStore(cache, shared).prune({"0" * 64})
    assert names(shared) == ({sha256} if stays else set())


def test_what_is_not_ours_is_left_alone(shared: Path) -> None:
    (shared / "lost+found").mkdir(parents=True)
    (shared / ("a" * 64)).touch()
    (shared / ("b" * 64)).mkdir()
    ModelCache(shared, shared=False).prune(set())
    assert names(shared) == {"lost+found", "a" * 64}


def test_a_folder_that_is_being_filled_is_not_removed(shared: Path) -> None:
    with ModelCache(shared, shared=True).filling("a" * 64, PATIENT) as filled:
        ModelCache(shared, shared=False).prune(set())
        assert filled.is_dir()
    assert names(shared) == set()


def test_who_waits_for_another_that_fills_is_told_when_its_time_is_over(shared: Path) -> None:
    slept: list[float] = []
    impatient = Patience("tiny", 2.0, lambda: False, clock=lambda: sum(slept), sleep=slept.append)
    with (
        ModelCache(shared, shared=True).filling("a" * 64, PATIENT),
        pytest.raises(ModelError, match="not here after 2 s, while another process fetches it"),
        ModelCache(shared, shared=True).filling("a" * 64, impatient),
    ):
        pass
    assert sum(slept) == pytest.approx(2.0)


def test_what_an_interrupted_process_left_is_not_taken_for_ours(shared: Path) -> None:
    left = shared / f".partial-{'a' * 64}" / "model"
    left.mkdir(parents=True)
    (left / WEIGHTS_FILE).write_bytes(b"half")
    with ModelCache(shared, shared=True).filling("a" * 64, PATIENT) as filled:
        assert names(filled) == set()


def test_a_damaged_model_is_replaced_while_another_process_has_it(shared: Path, folder: Path, cache: Path) -> None:
    with process_that_holds(shared, folder) as sha256:
        (shared / sha256 / WEIGHTS_FILE).write_bytes(b"damaged")
        model = ModelStore(cache, shared).fetch(ref(folder, sha256))
        assert model.weights.read_bytes() == (folder / WEIGHTS_FILE).read_bytes()
    assert names(shared) == {sha256}


def test_a_damaged_model_stays_until_there_is_a_whole_one(shared: Path, folder: Path, cache: Path) -> None:
    store = ModelStore(cache, shared)
    sha256 = store.fetch(ref(folder)).sha256
    (shared / sha256 / WEIGHTS_FILE).write_bytes(b"damaged")
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match="there is no version '1'"):
        store.fetch(ref(folder, sha256))
    assert names(shared) == {sha256}


def test_a_model_that_is_removed_while_it_is_looked_for_is_not_found(
    shared: Path, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(cache, shared)
    sha256 = store.fetch(ref(folder)).sha256
    store.close()
    lock = fcntl.flock

    def remove_first(descriptor: int, mode: int) -> None:
        shutil.rmtree(shared / sha256)
        lock(descriptor, mode)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert ModelCache(shared, shared=True).find(sha256) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_locks_that_the_file_system_does_not_have_are_said(
    shared: Path, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, mode: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(ModelError, match=f"to the cache {shared}: .*Operation not supported"):
        ModelStore(cache, shared).fetch(ref(folder))
