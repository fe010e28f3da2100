"""Bringing a model from its store to this machine, so that nothing that happens in the store can harm what runs.

A folder is copied into the cache beside the others under a name that no one looks for, verified there, and renamed to
`<cache>/models/<sha256>` when it is whole: a half copy is never used, and a version that is edited in the store later
does not reach what is mapped here. A cache belongs to one process.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import threading
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from framepilot.contract.desired import ModelRef
from framepilot_app.models.model import ALL_FILES, Model, ModelError
from framepilot_app.models.verify import MAX_BYTES, MiB, another_digest, list_files, open_folder, read_model_file

PARTIAL_PREFIX: Final = ".partial-"
NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ModelStore:
    """Models by reference, through a cache folder. Its methods may be called from any thread."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._models = cache / "models"
        self._lock = threading.Lock()

    def fetch(self, ref: ModelRef) -> Model:
        """The model that `ref` names, in the cache, verified now, whether it was cached before or not.

        Raises:
            ModelError: it is not there, not what was asked for, or cannot be copied; no partial copy is left behind.
        """
        with self._lock:
            model = self._cached(ref.sha256) if ref.sha256 else None
            if model is None:
                model = self._from_store(ref, _folder_of(ref))
        if (model.spec.name, model.spec.version) != (ref.name, ref.version):
            raise ModelError(
                _title(ref),
                f"{ref.uri} holds model '{model.spec.name}' version '{model.spec.version}'; correct the URI",
            )
        return model

    def prune(self, keep: AbstractSet[str]) -> None:
        """Remove cached models whose digest is not in `keep`, and what an interrupted process left behind."""
        with self._lock:
            for entry in self._models.iterdir() if self._models.is_dir() else ():
                if entry.name not in keep:
                    shutil.rmtree(entry, ignore_errors=True)

    def _from_store(self, ref: ModelRef, folder: Path) -> Model:
        list_files(folder)
        _, sha256 = read_model_file(folder)
        if ref.sha256 is not None and sha256 != ref.sha256:
            raise ModelError(_title(ref), f"{folder}: {another_digest(sha256, ref.sha256)}")
        return self._cached(sha256) or self._copy(ref, folder, sha256)

    def _cached(self, sha256: str) -> Model | None:
        folder = self._models / sha256
        if not folder.is_dir():
            return None
        try:
            return open_folder(folder, sha256)
        except ModelError:
            # A damaged copy; what still maps its files keeps them, and the store has them whole.
            shutil.rmtree(folder, ignore_errors=True)
            return None

    def _copy(self, ref: ModelRef, folder: Path, sha256: str) -> Model:
        """Copy, verify the copy, and only then give it its name."""
        try:
            self._models.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=self._models) as partial:
                copy = Path(partial) / sha256
                copy.mkdir()
                for name in ALL_FILES:
                    _copy_file(folder / name, copy / name, MAX_BYTES[name])
                model = open_folder(copy, sha256)
                target = copy.rename(self._models / sha256)
        except OSError as error:
            raise ModelError(_title(ref), self._cannot_copy(folder, error)) from error
        return Model(target, model.spec, model.sha256)

    def _cannot_copy(self, folder: Path, error: OSError) -> str:
        if error.errno in NO_SPACE:
            return f"no space left in the cache {self._cache}: {error.strerror}; free some, or give the cache more room"
        return f"cannot be copied from {folder} to the cache {self._cache}: {error}"


def _copy_file(source: Path, target: Path, max_bytes: int) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        left = max_bytes
        while left > 0 and (piece := reader.read(min(MiB, left))):
            writer.write(piece)
            left -= len(piece)


def _folder_of(ref: ModelRef) -> Path:
    parts = urlsplit(ref.uri)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or parts.query or parts.fragment:
        raise ModelError(_title(ref), f"the URI {ref.uri!r} is not of the form file:///store/{ref.name}/{ref.version}")
    return Path(unquote(parts.path))


def _title(ref: ModelRef) -> str:
    return f"'{ref.name}' version '{ref.version}'"
