"""The object store of parameters: one tensor in memory for each content and form, however many models have it.

A parameter is known by the digest of its contents. The form that an engine made of it (laid out, packed, on a device)
is found again by digest and form, so a second model with the same backbone adds what is its own. The store refers
weakly to what it gives: a tensor lives as long as a compiled program holds it, and is freed with the last one. Source:
the object store of Pretzel (Lee et al., OSDI 2018, section 4.1.3).

Files are mapped only while programs are compiled. What is mapped can be changed by others, so a form is made and shared
only while the file is, by what the system says of it, still the one whose contents were read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakSet, WeakValueDictionary

import torch
from safetensors import SafetensorError, safe_open

from framepilot_app.graphs.engine import EngineError
from framepilot_app.graphs.forms import Form, Making
from framepilot_app.models.contents import Contents, read_contents
from framepilot_app.models.model import WEIGHTS_FILE, Model, ModelError
from framepilot_app.stamp import Stamp

CHANGED: Final = "was changed while it was in use; fetch the model again, and let nobody write to the cache"
KNOWN_FILES: Final = 256
"""Of how many files it is remembered what they contain, those read last."""

Key = tuple[str, Hashable]
"""Digest and form."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Shared:
    """A tensor that several programs may hold."""

    tensor: torch.Tensor
    nbytes: int


class ParameterStore:
    """The parameters of all models of a process. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._contents: dict[str, Contents] = {}
        self._shared: WeakValueDictionary[Key, Shared] = WeakValueDictionary()
        self._forms: WeakSet[Form] = WeakSet()
        self._lock = threading.Lock()

    @property
    def unique_bytes(self) -> int:
        """Of all tensors that are in use, each counted once."""
        with self._lock:
            return sum(shared.nbytes for shared in list(self._shared.values()))

    @property
    def referenced_bytes(self) -> int:
        """Of all tensors that are in use, counted for every program that uses them."""
        with self._lock:
            return sum(form.nbytes for form in list(self._forms))

    def attach(self, model: Model) -> ModelParameters:
        """Read what the parameters of a model are, and map them; takes long, so not on the device thread.

        Raises:
            ModelError: the file is not the one that was verified.
        """
        return ModelParameters(self, model.weights, self._contents_of(model))

    def _contents_of(self, model: Model) -> Contents:
        """Read once for each file, as long as the system says that it is the same."""
        expected = model.spec.files[WEIGHTS_FILE]
        with self._lock:
            known = self._contents.get(expected)
        if known is not None and _is_unchanged(model.weights, known.stamp):
            return known
        found = read_contents(model.weights)
        if found.sha256 != expected:
            raise ModelError(model.weights, _corrupt(found, known))
        with self._lock:
            self._contents.pop(expected, None)
            self._contents[expected] = found
            if len(self._contents) > KNOWN_FILES:
                del self._contents[next(iter(self._contents))]
        return found

    def bytes_of(self, contents: Contents) -> dict[Hashable, int]:
        """What the parameters of a file take, by what this store knows them by."""
        return {each.digest: each.type.nbytes for each in contents.parameters.values()}

    def lacking(self, keys: Iterable[Hashable]) -> set[Hashable]:
        """Those of these that no program holds, in whatever form."""
        wanted = {*keys}
        if wanted:
            with self._lock:
                wanted.difference_update([digest for digest, _ in list(self._shared)])
        return wanted

    def find(self, key: Key) -> Form | None:
        """A hold on a tensor that is there."""
        with self._lock:
            shared = self._shared.get(key)
            return None if shared is None else self._hold(shared)

    def put(self, key: Key, tensor: torch.Tensor, nbytes: int) -> Form:
        """A hold on this tensor, or on the one that another thread was quicker to make."""
        with self._lock:
            return self._hold(self._shared.setdefault(key, Shared(tensor, nbytes)))

    def _hold(self, shared: Shared) -> Form:
        form = Form(shared.tensor, shared.nbytes, shared)
        self._forms.add(form)
        return form


class UnsharedStore(ParameterStore):
    """Every program has its parameters to itself: as if each ran in a process of its own."""

    def bytes_of(self, contents: Contents) -> dict[Hashable, int]:
        """The same; what is there under these keys is nobody's."""
        return {(digest, object()): nbytes for digest, nbytes in super().bytes_of(contents).items()}

    def find(self, key: Key) -> None:
        """Nothing: what is there is another one's."""

    def put(self, key: Key, tensor: torch.Tensor, nbytes: int) -> Form:
        """A hold on this tensor, by a key that nobody else has."""
        digest, form = key
        return super().put((digest, (form, object())), tensor, nbytes)


class ModelParameters:
    """The parameters of one model, as a compilation takes them. It maps the file; drop it when all is compiled."""

    def __init__(self, store: ParameterStore, path: Path, contents: Contents) -> None:
        """Map the file.

        Raises:
            ModelError: it is gone, damaged or changed.
        """
        self.contents = contents
        self._store = store
        self._path = path
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                self._tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in contents.parameters}
        except (OSError, SafetensorError) as error:
            raise ModelError(path, f"cannot be mapped: {error}; fetch the model again") from error
        if not _is_unchanged(path, contents.stamp):
            raise ModelError(path, CHANGED)

    def stored(self, name: str) -> torch.Tensor:
        """A parameter, mapped."""
        try:
            return self._tensors[name]
        except KeyError as error:
            raise EngineError(f"weights: there is no parameter '{name}'; pack the model again") from error

    def form(self, name: str, form: Hashable, make: Callable[[], Making]) -> Generator[None, None, Form]:
        """Another model's, if it is there; else made now, for all."""
        parameter = self.contents.parameters[name]
        key = (parameter.digest, form)
        held = self._store.find(key)
        if held is not None:
            return held
        self._check()
        tensor = yield from make()
        self._check()
        return self._store.put(key, tensor, parameter.type.nbytes)

    def _check(self) -> None:
        if not _is_unchanged(self._path, self.contents.stamp):
            raise EngineError(f"{self._path}: {CHANGED}")


class Pooled:
    """The parameters of several models, by their digests: what stages are compiled from."""

    def __init__(self, models: Iterable[ModelParameters]) -> None:
        self._of = {each.digest: (model, name) for model in models for name, each in model.contents.parameters.items()}

    def stored(self, name: str) -> torch.Tensor:
        """A parameter, mapped; its name is its digest."""
        model, own_name = self._of[name]
        return model.stored(own_name)

    def form(self, name: str, form: Hashable, make: Callable[[], Making]) -> Generator[None, None, Form]:
        """The form that a model made of it; else made now, for all."""
        model, own_name = self._of[name]
        return (yield from model.form(own_name, form, make))


def _is_unchanged(path: Path, stamp: Stamp) -> bool:
    try:
        return Stamp.of(path.stat()) == stamp
    except OSError:
        return False


def _corrupt(found: Contents, known: Contents | None) -> str:
    what = "has parameters that are not those that were verified"
    if known is not None:
        names = known.parameters.keys() | found.parameters.keys()
        wrong = sorted(name for name in names if known.parameters.get(name) != found.parameters.get(name))
        what += f" ({', '.join(wrong[:4])})" if wrong else ""
    return f"{what}: sha256 {found.sha256}, not as its model.yaml says; fetch the model again"
