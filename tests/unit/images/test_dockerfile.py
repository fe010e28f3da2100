"""The Dockerfile keeps the promises that its images make; hadolint knows the common mistakes, these are ours."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from framepilot_app.cli import GLIBC_TUNABLES
from support.images.build import BUILDER, TARGETS
from support.images.dockerfile import Instruction, Stage, parse

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
DOCKERFILE = parse(TEXT)

targets = pytest.mark.parametrize("target", TARGETS)


def chain(target: str) -> list[Stage]:
    """The stages whose layers an image consists of, the image's own first."""
    stages = {stage.name: stage for stage in DOCKERFILE.stages}
    found = [stages[target]]
    while found[-1].base in stages:
        found.append(stages[found[-1].base])
    return found


def the(stage: Stage, keyword: str) -> Instruction:
    """The one instruction of a kind."""
    (found,) = [i for i in stage.instructions if i.keyword == keyword]
    return found


def settings(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in re.findall(r'([\w.]+)=("[^"]*"|\S+)', text)}


def mounts() -> list[dict[str, str]]:
    return [mount for stage in DOCKERFILE.stages for i in stage.instructions for mount in i.mounts]


def project(folder: str) -> dict[str, dict[str, str]]:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_a_dockerfile_is_read_as_stages_with_what_they_are_made_of() -> None:
    read = parse("""
        # comment
        ARG BASE=debian:12
        FROM ${BASE} AS one
        COPY a.txt b /to/
        RUN --mount=type=bind,source=c,target=/c --mount=type=cache,target=/x \\
            # in between
            make --from=nothing

        from one
        copy --from=one --chown=1:1 /d /d
        """)
    one, last = read.stages
    assert (one.name, one.base, one.context) == ("one", "debian:12", {"a.txt", "b", "c"})
    assert (last.base, last.stages, last.context) == ("one", {"one"}, frozenset())
    assert read.needed(last.name) == (one, last)
    assert read.context(last.name) == {"a.txt", "b", "c"}
    assert one.instructions[1].arguments == ("make", "--from=nothing")


@targets
def test_our_code_is_the_last_layer_and_in_no_other(target: str) -> None:
    last = DOCKERFILE.stage(target).instructions[-1]
    assert (last.keyword, dict(last.flags)["from"]) == ("COPY", f"{target}-packages")
    below = frozenset().union(*(stage.context for stage in chain(target)))
    assert below == {"requirements/uv.txt", f"requirements/{target}.txt"}


@targets
def test_a_target_is_made_of_its_own_distribution_and_of_the_core(target: str) -> None:
    folders = {path for path in DOCKERFILE.context(target) if (ROOT / path).is_dir()}
    assert folders == {"core", target}


@targets
def test_an_image_runs_as_a_number_so_that_kubelet_can_tell_it_is_not_root(target: str) -> None:
    users = [i.text for stage in reversed(chain(target)) for i in stage.instructions if i.keyword == "USER"]
    assert users[-1] == "10001:10001"


@targets
def test_an_image_starts_a_command_of_its_distribution(target: str) -> None:
    command = re.fullmatch(r'\["([\w-]+)"\]', the(DOCKERFILE.stage(target), "ENTRYPOINT").text)
    assert command
    assert command[1] in project(target)["scripts"]


@targets
def test_an_image_says_which_version_it_is(target: str) -> None:
    labels = settings(the(DOCKERFILE.stage(target), "LABEL").text)
    assert labels["org.opencontainers.image.version"] == project(target)["version"]
    assert labels["org.opencontainers.image.licenses"] == project(target)["license"]
    assert labels["org.opencontainers.image.title"] == f"framepilot-{target}"


@targets
def test_a_uid_without_a_name_has_a_home_that_can_be_written(target: str) -> None:
    environment = settings(the(DOCKERFILE.stage(target), "ENV").text)
    assert (environment["HOME"], environment["USER"]) == ("/tmp", "framepilot")


def test_the_app_finds_the_tunables_for_which_it_would_start_again() -> None:
    assert settings(the(DOCKERFILE.stage("inference-app"), "ENV").text)["GLIBC_TUNABLES"] == GLIBC_TUNABLES


@pytest.mark.parametrize(
    ("target", "absent"),
    [("operator", {"torch", "opencv-python-headless"}), ("inference-app", {"kopf", "kubernetes"})],
)
def test_an_image_has_nothing_of_the_other_side(target: str, absent: set[str]) -> None:
    lock = (ROOT / "requirements" / f"{target}.txt").read_text(encoding="utf-8")
    assert not absent & set(re.findall(r"^([\w-]+)==", lock, re.MULTILINE))


def test_every_lock_is_installed_with_its_hashes() -> None:
    installs = [
        command
        for stage in DOCKERFILE.stages
        for i in stage.instructions
        if i.keyword == "RUN"
        for command in i.text.split("&&")
        if "install" in command.split() and " -r " in command
    ]
    assert len(installs) == 5
    assert all("--require-hashes" in command for command in installs)


def test_bases_are_the_argument_or_stages_and_have_a_tag() -> None:
    names = {stage.name for stage in DOCKERFILE.stages}
    assert {stage.base for stage in DOCKERFILE.stages} - names == {DOCKERFILE.arguments["BASE"]}
    assert re.fullmatch(r"[\w.]+\.[a-z]+/[\w/-]+:3\.\d+[\w.-]*", DOCKERFILE.arguments["BASE"])
    assert ":latest" not in TEXT


def test_nothing_is_for_one_processor_only() -> None:
    assert not re.search(r"amd64|x86_64|arm64|aarch64|--platform", TEXT)


def test_no_file_is_mounted_that_buildah_would_not_see_change() -> None:
    assert {mount["type"] for mount in mounts()} == {"secret", "cache"}


def test_secrets_are_mounted_where_the_image_has_nothing() -> None:
    """Buildah 1.28 removes what was below a secret's mount from the image."""
    secrets = [mount for mount in mounts() if mount["type"] == "secret"]
    assert secrets
    assert all("target" not in mount for mount in secrets)


def test_what_is_copied_is_let_in_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {path.partition("/")[0] for target in (*TARGETS, BUILDER) for path in DOCKERFILE.context(target)}
    assert "*" in lines
    assert allowed == copied
