"""A tag changes with whatever goes into its image, and with nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.images.tags import ignored_names, tag

DOCKERFILE = """
ARG BASE=debian:12
FROM ${BASE} AS builder
COPY core core
FROM builder AS a-packages
COPY a a
FROM builder AS b-packages
COPY b b
FROM ${BASE} AS a
COPY --from=a-packages / /
FROM ${BASE} AS b
COPY --from=b-packages / /
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("core", "a", "b", "docs"):
        (tmp_path / name / "src").mkdir(parents=True)
        (tmp_path / name / "src" / "code.py").write_text("pass\n")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / ".dockerignore").write_text("*\n!core\n!a\n!b\n**/__pycache__\n**/*.egg-info\n")
    return tmp_path


def tags(checkout: Path, base: str = "base") -> tuple[str, str]:
    return tag(checkout, "a", base), tag(checkout, "b", base)


def test_equal_checkouts_have_equal_tags_wherever_they_are(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(checkout, copy)
    assert tags(copy) == tags(checkout)


def test_targets_have_different_tags(checkout: Path) -> None:
    a, b = tags(checkout)
    assert a != b


@pytest.mark.parametrize(
    ("changed", "which"),
    [
        ("core/src/code.py", {"a", "b"}),
        ("a/src/code.py", {"a"}),
        ("a/src/new.py", {"a"}),
        ("b/src/code.py", {"b"}),
        ("Dockerfile", {"a", "b"}),
        ("docs/src/code.py", set()),
        ("a/src/__pycache__/code.pyc", set()),
        ("a/a.egg-info/PKG-INFO", set()),
    ],
)
def test_a_file_changes_the_tags_of_the_images_it_goes_into(checkout: Path, changed: str, which: set[str]) -> None:
    before = tags(checkout)
    file = checkout / changed
    file.parent.mkdir(exist_ok=True)
    with file.open("a") as text:
        text.write("# more\n")
    after = tags(checkout)
    assert {name for name, old, new in zip("ab", before, after, strict=True) if old != new} == which


def test_a_renamed_file_or_one_that_may_be_executed_changes_the_tag(checkout: Path) -> None:
    seen = {tags(checkout)[0]}
    code = checkout / "a" / "src" / "code.py"
    code.chmod(0o755)
    seen.add(tags(checkout)[0])
    code.rename(code.with_name("other.py"))
    seen.add(tags(checkout)[0])
    assert len(seen) == 3


def test_content_cannot_move_from_one_file_to_the_next_unnoticed(checkout: Path) -> None:
    first, second = checkout / "a" / "1", checkout / "a" / "2"
    first.write_text("xy")
    second.write_text("")
    before = tags(checkout)
    first.write_text("x")
    second.write_text("y")
    assert tags(checkout)[0] != before[0]


def test_another_base_is_another_image(checkout: Path) -> None:
    assert set(tags(checkout, "one base")).isdisjoint(tags(checkout, "another"))


def test_names_that_are_ignored_everywhere_are_read_from_dockerignore() -> None:
    assert ignored_names("# why\n*\n!core\n**/__pycache__\n**/*.egg-info\n") == ("__pycache__", "*.egg-info")
