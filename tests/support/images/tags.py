"""An image's tag says what is in it: a short digest of the base and of every file of the checkout that goes into it.

So a tag never means two things, the same checkout gives the same tag, and what exists need not be built again. A change
of the operator leaves the tag of the app as it is.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator
from pathlib import Path

from support.images.dockerfile import parse

LENGTH = 12


def tag(root: Path, target: str, base: str) -> str:
    """The tag of a target of the Dockerfile in `root`, on a base that `base` identifies."""
    dockerfile = root / "Dockerfile"
    ignored = ignored_names((root / ".dockerignore").read_text(encoding="utf-8"))
    digest = hashlib.sha256(f"{target}\n{base}\n".encode())
    _add(digest, root, dockerfile)
    for path in sorted(parse(dockerfile.read_text(encoding="utf-8")).context(target)):
        for file in _files(root / path, ignored):
            _add(digest, root, file)
    return digest.hexdigest()[:LENGTH]


def samples_tag(dockerfile: Path, samples: Path, base: str) -> str:
    """The tag of the image of a folder of samples, whose name is a digest of what it was built from."""
    digest = hashlib.sha256(f"{samples.name}\n{base}\n".encode())
    digest.update(dockerfile.read_bytes())
    return digest.hexdigest()[:LENGTH]


def ignored_names(dockerignore: str) -> tuple[str, ...]:
    """The patterns of names that are ignored in every folder, as `**/__pycache__`."""
    return tuple(line.removeprefix("**/") for line in dockerignore.split() if line.startswith("**/"))


def _files(path: Path, ignored: tuple[str, ...]) -> Iterator[Path]:
    if any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored):
        return
    if path.is_dir():
        for child in sorted(path.iterdir()):
            yield from _files(child, ignored)
    else:
        yield path


def _add(digest: hashlib._Hash, root: Path, file: Path) -> None:
    content = file.read_bytes()
    executable = bool(file.stat().st_mode & 0o100)
    digest.update(f"{file.relative_to(root)} {executable} {len(content)}\n".encode())
    digest.update(content)
