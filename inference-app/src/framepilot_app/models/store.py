"""Bringing a model from its store to this machine, so that nothing that happens in the store can harm what runs.

`model.yaml` comes first: it is small, its digest is the model's, and it says whether the rest is wanted at all. All is
written into a partial folder, verified there, and only then given its name in the cache: a half copy is never used, and
a version that is edited in the store later does not reach what is mapped here. Where its digest is known, a model that
the cache has is verified and used without asking the store.
"""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from framepilot.contract.desired import ModelRef
from framepilot.contract.document import DocumentError
from framepilot_app.graphs.file_engines import FORMS
from framepilot_app.graphs.program_form import ProgramForm
from framepilot_app.graphs.stage import Stage
from framepilot_app.models.cache import ModelCache
from framepilot_app.models.contents import Contents
from framepilot_app.models.form_files import FormFiles
from framepilot_app.models.model import LISTED_FILES, MODEL_FILE, Model, ModelError, UnavailableError
from framepilot_app.models.patience import Patience
from framepilot_app.models.source import Source, open_source, title_of
from framepilot_app.models.spec import ModelSpec, parse_spec
from framepilot_app.models.stage_files import StageFiles
from framepilot_app.models.verify import another_digest, open_folder

FETCH_S: Final = 3600.0
"""The longest that one fetch takes: the largest model over a slow line, and not for ever."""
NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ModelStore:
    """Models by reference, through a cache. Its methods may be called from any thread.

    Args:
        cache: this process's folder; models are in `models` below it.
        shared: instead, a folder of models that other processes on this machine use as well.
        limit_s: the longest that one fetch takes.
        clock: seconds that never go back.
        sleep: waits for so many of them.
    """

    def __init__(
        self,
        cache: Path,
        shared: Path | None = None,
        limit_s: float = FETCH_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cache = ModelCache(shared or cache / "models", shared=shared is not None)
        self._form_files = {form: FormFiles(cache, form) for form in FORMS}
        self._stage_files = StageFiles(cache / "onnx-stages")
        self._limit_s = limit_s
        self._clock = clock
        self._sleep = sleep
        self._closed = threading.Event()

    def fetch(self, ref: ModelRef, cancelled: threading.Event | None = None) -> Model:
        """The model that `ref` names, in the cache, verified now, whether it was cached before or not.

        Raises:
            UnavailableError: it is not there, or cannot be copied now.
            ModelError: it is not what was asked for, or `cancelled` was set. No partial copy is left behind.
        """

        def given_up() -> bool:
            return self._closed.is_set() or (cancelled is not None and cancelled.is_set())

        patience = Patience(title_of(ref), self._limit_s, given_up, self._clock, self._sleep)
        try:
            model = self._cache.find(ref.sha256) if ref.sha256 else None
            return _checked(ref, model) if model else self._from_store(ref, patience)
        except OSError as error:
            raise UnavailableError(title_of(ref), self._cannot_copy(ref, error)) from error

    def form_file(self, model: Model, given_up: threading.Event, form: ProgramForm) -> Path:
        """A form of a model that was fetched; written if this instance has not got it.

        Raises:
            EngineError: it has none, it cannot be written, or `given_up` was set.
        """
        return self._form_files[form].get(model, given_up)

    def stage_file(self, stage: Stage, model: Model, contents: Contents, given_up: threading.Event) -> Path:
        """The ONNX form of a stage of a plan; `model` has its parameters, `contents` are those of its file.

        Raises:
            EngineError: it has none, it cannot be written, or `given_up` was set.
        """
        return self._stage_files.get(stage, model, contents, given_up)

    def prune(self, keep: AbstractSet[str]) -> None:
        """Remove cached models that nobody uses and whose digest is not in `keep`, and what was interrupted."""
        self._cache.prune(keep)
        for files in self._form_files.values():
            files.prune(keep)
        self._stage_files.prune(keep)

    def close(self) -> None:
        """Give up what is being fetched, and let go of what the cache holds: this process needs no more models."""
        self._closed.set()
        self._cache.close()

    def _from_store(self, ref: ModelRef, patience: Patience) -> Model:
        with open_source(ref, patience) as source:
            text = source.model_file()
            sha256 = hashlib.sha256(text).hexdigest()
            if ref.sha256 is not None and sha256 != ref.sha256:
                raise ModelError(title_of(ref), f"{ref.uri}: {another_digest(sha256, ref.sha256)}")
            model = self._cache.find(sha256)
            if model is not None:
                return _checked(ref, model)
            _check_spec(ref, text)
            try:
                return self._copy(ref, source, text, patience)
            except OSError as error:
                if error.errno not in NO_SPACE or not self._cache.evict():
                    raise
                return self._copy(ref, source, text, patience)

    def _copy(self, ref: ModelRef, source: Source, text: bytes, patience: Patience) -> Model:
        """Copy, verify the copy, and only then give it its name."""
        sha256 = hashlib.sha256(text).hexdigest()
        with self._cache.filling(sha256, patience) as folder:
            # Another process may have been first.
            model = self._cache.find(sha256)
            if model is not None:
                return model
            (folder / MODEL_FILE).write_bytes(text)
            for name in LISTED_FILES:
                source.copy(name, folder / name)
            try:
                model = open_folder(folder, sha256)
            except ModelError as error:
                raise ModelError(title_of(ref), f"{ref.uri}: {error.what}") from error
            return Model(self._cache.put(folder, sha256), model.spec, model.sha256)

    def _cannot_copy(self, ref: ModelRef, error: OSError) -> str:
        cache = self._cache.folder
        if error.errno in NO_SPACE:
            return f"no space left in the cache {cache}: {error.strerror}; free some, or give the cache more room"
        return f"cannot be copied from {ref.uri} to the cache {cache}: {error}"


def _check_spec(ref: ModelRef, text: bytes) -> None:
    """Refuse what is no model, or another one, before the rest of it is copied."""
    try:
        spec = parse_spec(ModelSpec, text, MODEL_FILE)
    except DocumentError as error:
        raise ModelError(title_of(ref), f"{ref.uri}: {error}; pack the model again") from error
    _check_name(ref, spec)


def _checked(ref: ModelRef, model: Model) -> Model:
    _check_name(ref, model.spec)
    return model


def _check_name(ref: ModelRef, spec: ModelSpec) -> None:
    if (spec.name, spec.version) != (ref.name, ref.version):
        raise ModelError(
            title_of(ref), f"{ref.uri} holds model '{spec.name}' version '{spec.version}'; correct the URI"
        )
