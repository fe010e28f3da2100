"""The cache between a store and what runs: whole, verified, and out of reach of whoever edits the store."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from framepilot.contract.desired import ModelRef
from framepilot_app.models.model import MODEL_FILE, WEIGHTS_FILE, ModelError, UnavailableError
from framepilot_app.models.store import ModelStore
from framepilot_app.models.verify import open_model
from support.tiny_model import write_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "my store")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def store(cache: Path) -> ModelStore:
    return ModelStore(cache)


def ref(folder: Path, sha256: str | None = None, version: str = "1") -> ModelRef:
    return ModelRef(name="tiny", version=version, uri=folder.as_uri(), sha256=sha256)


def cached(cache: Path) -> set[str]:
    return {entry.name for entry in (cache / "models").iterdir()}


def test_a_fetched_model_is_a_verified_copy(store: ModelStore, cache: Path, folder: Path) -> None:
    model = store.fetch(ref(folder))
    assert model.folder == cache / "models" / open_model(folder).sha256
    assert model.weights.read_bytes() == (folder / WEIGHTS_FILE).read_bytes()
    assert cached(cache) == {model.sha256}


def test_a_store_that_is_edited_later_does_no_harm(store: ModelStore, folder: Path) -> None:
    model = store.fetch(ref(folder))
    before = model.weights.read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(b"edited")
    assert model.weights.read_bytes() == before
    assert store.fetch(ref(folder, model.sha256)) == model


def test_a_cached_model_outlives_its_store(store: ModelStore, folder: Path) -> None:
    model = store.fetch(ref(folder))
    folder.rename(folder.with_name("gone"))
    assert store.fetch(ref(folder, model.sha256)) == model
    with pytest.raises(UnavailableError, match="there is no version '1'"):
        store.fetch(ref(folder))


def test_another_digest_under_the_same_version_is_refused(store: ModelStore, cache: Path, folder: Path) -> None:
    found = open_model(folder).sha256
    with pytest.raises(ModelError, match="another digest under the same version") as refused:
        store.fetch(ref(folder, "0" * 64))
    assert found in str(refused.value)
    assert "0" * 64 in str(refused.value)
    assert not isinstance(refused.value, UnavailableError)
    assert not (cache / "models").exists()


def test_a_damaged_copy_is_fetched_again(store: ModelStore, folder: Path) -> None:
    model = store.fetch(ref(folder))
    model.weights.write_bytes(b"damaged")
    assert store.fetch(ref(folder, model.sha256)) == model
    assert model.weights.read_bytes() == (folder / WEIGHTS_FILE).read_bytes()


def test_a_damaged_copy_is_never_used(store: ModelStore, folder: Path) -> None:
    model = store.fetch(ref(folder))
    model.weights.write_bytes(b"damaged")
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(UnavailableError, match=r"weights\.safetensors is missing"):
        store.fetch(ref(folder, model.sha256))


def test_a_bad_folder_leaves_nothing_behind(store: ModelStore, cache: Path, folder: Path) -> None:
    (folder / WEIGHTS_FILE).write_bytes(b"tampered")
    with pytest.raises(ModelError, match="truncated or was changed") as refused:
        store.fetch(ref(folder))
    # That is said of the model, not of the store: it is not tried again.
    assert not isinstance(refused.value, UnavailableError)
    assert cached(cache) == set()


def test_the_reference_must_name_what_is_there(store: ModelStore, folder: Path) -> None:
    with pytest.raises(ModelError, match="holds model 'tiny' version '1'"):
        store.fetch(ref(folder, version="2"))


@pytest.mark.parametrize(
    "uri", ["s3://host/tiny/1", "https:///tiny/1", "file://host/tiny/1", "/models/tiny/1", "file:///tiny/1?x=y", ""]
)
def test_a_uri_that_there_is_no_source_for_is_refused(store: ModelStore, uri: str) -> None:
    with pytest.raises(ModelError, match="is not of the form file:///store/tiny/1 or https://host/store/tiny/1"):
        store.fetch(ModelRef(name="tiny", version="1", uri=uri))


def test_several_threads_fetch_the_same_model_at_once(store: ModelStore, cache: Path, folder: Path) -> None:
    start = threading.Barrier(8)

    def fetch(_: int) -> Path:
        start.wait()
        return store.fetch(ref(folder)).folder

    with ThreadPoolExecutor(8) as threads:
        folders = set(threads.map(fetch, range(8)))
    assert folders == {cache / "models" / open_model(folder).sha256}
    assert len(cached(cache)) == 1


def test_pruning_keeps_what_is_in_use(store: ModelStore, cache: Path, folder: Path) -> None:
    kept = store.fetch(ref(folder))
    store.fetch(ref(write_tiny_model(folder.parents[1], "2", gain=2), version="2"))
    (cache / "models" / ".partial-of-a-process-that-died").mkdir()
    store.prune({kept.sha256})
    assert cached(cache) == {kept.sha256}


def test_pruning_an_empty_cache_is_no_error(store: ModelStore) -> None:
    store.prune(set())


def test_a_cache_that_cannot_be_written(cache: Path, folder: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(ModelError, match="cannot be copied"):
        ModelStore(cache).fetch(ref(folder))


FETCH_UNDER_A_LIMIT = """
import resource, signal, sys
from pathlib import Path
from framepilot.contract.desired import ModelRef
from framepilot_app.models.model import ModelError
from framepilot_app.models.store import ModelStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    ModelStore(Path(sys.argv[1])).fetch(ModelRef(name="tiny", version="1", uri=sys.argv[2]))
except ModelError as error:
    print(error)
"""


def test_no_space_for_a_file_is_said_and_nothing_is_left(cache: Path, folder: Path) -> None:
    size = (folder / MODEL_FILE).stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", FETCH_UNDER_A_LIMIT, str(cache), folder.as_uri(), str(size)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"no space left in the cache {cache}" in done.stdout
    assert "free some" in done.stdout
    assert cached(cache) == set()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("may not mount a file system here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_said_and_nothing_is_left(full_disk: Path, folder: Path) -> None:
    filler = full_disk / "filler"
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        filler.write_bytes(bytes(1 << 20))
    store = ModelStore(full_disk)
    with pytest.raises(ModelError, match="no space left in the cache"):
        store.fetch(ref(folder))
    assert cached(full_disk) == set()
    filler.unlink()
    assert store.fetch(ref(folder)).spec.name == "tiny"
    # What is held keeps the file system busy.
    store.close()


def test_on_a_full_disk_what_nobody_uses_makes_room(full_disk: Path, folder: Path) -> None:
    other = write_tiny_model(folder.parents[1], "2", gain=2)
    earlier = ModelStore(full_disk)
    unused = earlier.fetch(ref(folder)).sha256
    filler = full_disk / "filler"
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        filler.write_bytes(bytes(1 << 20))
    store = ModelStore(full_disk)
    with pytest.raises(ModelError, match="no space left in the cache"):
        store.fetch(ref(other, version="2"))
    assert cached(full_disk) == {unused}
    earlier.close()
    assert store.fetch(ref(other, version="2")).spec.version == "2"
    assert unused not in cached(full_disk)
    store.close()
