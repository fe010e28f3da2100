"""The repository keeps its own promises: locks are complete, documented commands exist, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from framepilot.contract.report import Report
from framepilot.resources.parse import parse_resource
from support.framepilot_command import FRAMEPILOT

ROOT = Path(__file__).parents[2]
SOURCES = [("core", "framepilot"), ("operator", "framepilot_operator"), ("inference-app", "framepilot_app")]
PACKAGES = [ROOT / folder / "src" / package for folder, package in SOURCES]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def commands(page: Path) -> list[str]:
    """Every line of a shell block and every inline code span: where a page tells its reader what to type."""
    text = page.read_text(encoding="utf-8")
    blocks = [body for language, body in CODE_BLOCK.findall(text) if language in {"", "sh", "bash", "console"}]
    lines = [line.removeprefix("$ ").strip() for body in blocks for line in body.splitlines()]
    return lines + INLINE_CODE.findall(CODE_BLOCK.sub("", text))


def documented(program: str) -> set[str]:
    """The commands of a program that the pages name: its first word, or two where the first is a group."""
    pattern = re.compile(rf"^(?:\.venv/bin/)?{program} ((?:model )?[a-z]+)\b")
    return {match[1] for page in PAGES for line in commands(page) if (match := pattern.match(line))}


def makefile_targets() -> dict[str, str]:
    """Each target that a person may call, with its help text."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    help_texts = dict(re.findall(r"^([a-z0-9-]+):.*?(?:## (.*))?$", makefile, re.MULTILINE))
    return {name: help_texts.get(name, "") for name in re.findall(r"^\.PHONY: (\w+)$", makefile, re.MULTILINE)}


def slug(heading: str) -> str:
    """The anchor that a Markdown heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_the_operator_folder_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_there_is_a_lock_for_each_purpose() -> None:
    assert {path.name for path in LOCKS} >= {"dev.txt", "inference-app.txt", "operator.txt", "uv.txt"}


@pytest.mark.parametrize("lock", LOCKS, ids=relative)
def test_every_requirement_is_pinned_and_has_a_hash(lock: Path) -> None:
    text = re.sub(r"^\s*#.*\n?", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    entries = re.split(r"(?<!\\)\n", text.strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ (; .+ )?\\\n", entry), entry
        assert "--hash=sha256:" in entry


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").iterdir()), ids=relative)
def test_requirements_name_no_place_to_fetch_from(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host", text)


def test_every_target_of_the_makefile_has_a_help_text() -> None:
    targets = makefile_targets()
    assert targets
    assert [name for name, text in targets.items() if not text] == []


def test_make_alone_prints_the_help() -> None:
    answer = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    assert all(f"make {name} " in answer for name in makefile_targets())


def test_documented_targets_exist() -> None:
    assert documented("make") <= makefile_targets().keys()
    assert {"demo", "test"} <= documented("make")


@pytest.mark.parametrize("command", sorted(documented("framepilot")))
def test_documented_commands_exist(command: str) -> None:
    answer = subprocess.run([FRAMEPILOT, *command.split(), "--help"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_of_the_pages_resolve(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name) if name else page
        assert linked.exists(), f"{relative(page)} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{relative(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_paths_that_the_pages_name_exist(page: Path) -> None:
    missing = [span for span in INLINE_CODE.findall(page.read_text(encoding="utf-8")) if names_nothing(span)]
    assert missing == []


def names_nothing(span: str) -> bool:
    """Whether this reads like a path below the root or a package, and there is no such file or folder."""
    if not re.fullmatch(r"[\w.-]+/[\w./-]*", span):
        return False
    bases = [base for base in (ROOT, *PACKAGES) if (base / span.split("/", maxsplit=1)[0]).is_dir()]
    return bool(bases) and not any((base / span).exists() for base in bases)


def test_the_resources_that_the_pages_show_are_valid() -> None:
    shown = [
        body for page in PAGES for language, body in CODE_BLOCK.findall(page.read_text(encoding="utf-8"))
        if language == "yaml" and "apiVersion: framepilot.dev/" in body
    ]  # fmt: skip
    assert shown
    for body in shown:
        parse_resource(YAML(typ="safe").load(body), "a page")


def test_the_report_that_the_pages_show_is_one() -> None:
    blocks = dict(CODE_BLOCK.findall((ROOT / "docs" / "report.md").read_text(encoding="utf-8")))
    Report.model_validate_json(blocks["json"])


def test_the_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
