"""The models on this machine: a folder `<sha256>/` for each, which any number of processes may share.

A model is whole from the moment it has its name: it is written into a partial folder, verified, and renamed. A process
holds a shared lock on the folder of every model that it uses, and who fills a partial folder holds an exclusive one on
that; only what nobody holds is removed. The locks are the kernel's, flock(2) on the folders themselves, so they end
with the process that held them, however it ends. A folder may be renamed or removed just before it is locked; so what
was locked is compared with what has the name.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import threading
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from framepilot_app.models.model import Model, ModelError
from framepilot_app.models.patience import POLL_S, Patience
from framepilot_app.models.verify import open_folder

PARTIAL_PREFIX: Final = ".partial-"
ROOM: Final = 0.2
"""The share of the disk that a shared cache leaves free, as far as that is possible by removing what nobody uses."""

_OURS: Final = re.compile(rf"{re.escape(PARTIAL_PREFIX)}.+|[0-9a-f]{{64}}")


class ModelCache:
    """The models below `folder`. Its methods may be called from any thread.

    `shared`: other processes use it, too. Then a model that nobody uses now may be one that a process which is just
    starting is about to look for, so it stays as long as there is room.
    """

    def __init__(self, folder: Path, *, shared: bool) -> None:
        self.folder = folder
        self._shared = shared
        self._held: dict[str, int] = {}
        self._keep: AbstractSet[str] = frozenset()
        self._lock = threading.Lock()

    def find(self, sha256: str) -> Model | None:
        """The model, verified now and held from now on; None if it is not there or damaged.

        Raises:
            OSError: the folder cannot be read or locked.
        """
        with self._lock:
            descriptor = _locked(self.folder / sha256, fcntl.LOCK_SH)
            if descriptor is None:
                return None
            self._hold(sha256, descriptor)
        try:
            return open_folder(self.folder / sha256, sha256)
        except ModelError:
            # A damaged copy. It goes when a whole one is there to take its place.
            with self._lock:
                self._release(sha256)
            return None

    @contextmanager
    def filling(self, sha256: str, patience: Patience) -> Iterator[Path]:
        """An empty folder to write the model into, this process's alone; gone in the end, unless `put` moved it.

        Raises:
            ModelError: another process fills it, for longer than `patience` lasts.
            OSError: it cannot be made or locked.
        """
        partial = self.folder / f"{PARTIAL_PREFIX}{sha256}"
        while True:
            # Whoever fills it may remove it just when it is found to be there.
            with suppress(FileExistsError):
                partial.mkdir(parents=True, exist_ok=True)
            descriptor = _locked(partial, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if descriptor is not None:
                break
            patience.check(f"another process fetches it into {self.folder}")
            patience.pause(POLL_S)
        try:
            folder = partial / "model"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            os.close(descriptor)

    def put(self, folder: Path, sha256: str) -> Path:
        """Give what `filling` filled its name, and hold it. A damaged copy of that name is removed.

        Raises:
            OSError: it cannot be locked or renamed.
        """
        target = self.folder / sha256
        with self._lock:
            descriptor = _locked(folder, fcntl.LOCK_SH)
            if descriptor is None:
                raise FileNotFoundError(f"{folder} was removed while it was filled")
            self._hold(sha256, descriptor)
            # With a lock, so that nobody prunes by this name meanwhile.
            damaged = _locked(target, fcntl.LOCK_SH)
            if damaged is not None:
                target.rename(folder.parent / "damaged")
                os.close(damaged)
            return folder.rename(target)

    def prune(self, keep: AbstractSet[str]) -> None:
        """Let go of what is not in `keep`; remove what nobody holds, and what interrupted processes left behind."""
        with self._lock:
            self._keep = frozenset(keep)
            for sha256 in self._held.keys() - keep:
                self._release(sha256)
        self._remove(models=not self._shared or self._is_short())

    def evict(self) -> bool:
        """Make room: remove every model that nobody holds; whether there was one."""
        return self._remove(models=True)

    def close(self) -> None:
        """Let go of everything; files that are mapped stay mapped."""
        with self._lock:
            for sha256 in list(self._held):
                self._release(sha256)

    def _is_short(self) -> bool:
        if not self.folder.is_dir():
            return False
        usage = shutil.disk_usage(self.folder)
        return usage.free < ROOM * usage.total

    def _remove(self, *, models: bool) -> bool:
        removed = False
        for entry in self.folder.iterdir() if self.folder.is_dir() else ():
            partial = entry.name.startswith(PARTIAL_PREFIX)
            if entry.name in self._keep or not _OURS.fullmatch(entry.name) or not (models or partial):
                continue
            # Any use excludes this lock, one by this process as well.
            descriptor = _locked(entry, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if descriptor is not None:
                shutil.rmtree(entry, ignore_errors=True)
                os.close(descriptor)
                removed = removed or not partial
        return removed

    def _hold(self, sha256: str, descriptor: int) -> None:
        self._release(sha256)
        self._held[sha256] = descriptor

    def _release(self, sha256: str) -> None:
        descriptor = self._held.pop(sha256, None)
        if descriptor is not None:
            os.close(descriptor)


def _locked(folder: Path, mode: int) -> int | None:
    """An open descriptor of the folder with that lock; None if there is no such folder (any more), or it is taken."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    held = False
    try:
        fcntl.flock(descriptor, mode)
        held = os.path.samestat(os.fstat(descriptor), folder.stat())
    except (BlockingIOError, FileNotFoundError):
        return None
    finally:
        if not held:
            os.close(descriptor)
    return descriptor if held else None
