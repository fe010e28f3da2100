from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framepilot_operator.cli import build


def run(*arguments: object):
    return CliRunner().invoke(build(()), ["set", *map(str, arguments)])


def register(state_home: Path, pid: int, *files: Path) -> Path:
    path = state_home / "framepilot" / "up" / f"{pid}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"pid": pid, "files": [str(file) for file in files], "state": str(state_home), "started_at": 0}
    path.write_text(json.dumps(entry))
    return path


def test_a_batch_size_is_put_into_the_module_and_nothing_else_is_touched(lobby):
    before = lobby.read_text()
    result = run("cameras/lobby", "face", "--batch", 16, "--file", lobby)
    assert result.output == "cameras/lobby face: batch auto -> 16\n"
    assert result.exit_code == 0
    assert lobby.read_text() == before.replace(
        '{name: face, model: {name: centerface, version: "1"}}',
        '{name: face, batching: {mode: Fixed, size: 16}, model: {name: centerface, version: "1"}}',
    )


def test_a_batch_size_takes_the_place_of_the_declared_one(lobby):
    before = lobby.read_text()
    assert run("cameras/lobby", "age", "--batch", 16, "--file", lobby).output == "cameras/lobby age: batch 8 -> 16\n"
    assert lobby.read_text() == before.replace("{mode: Fixed, size: 8}", "{mode: Fixed, size: 16}")


def test_a_version_changes_with_its_quotes_and_comments_kept(lobby):
    before = lobby.read_text()
    result = run("cameras/lobby", "embedding", "--model-version", 2, "--file", lobby)
    assert result.output == "cameras/lobby embedding: model embedder version 1 -> 2\n"
    assert lobby.read_text() == before.replace("version: '1'", "version: '2'")


def test_batch_and_version_can_be_set_at_once(lobby):
    result = run("cameras/lobby", "age", "--batch", 4, "--model-version", "2", "--file", lobby)
    assert result.output.splitlines() == [
        "cameras/lobby age: batch 8 -> 4",
        "cameras/lobby age: model age version 1 -> 2",
    ]


def test_auto_takes_the_override_back_and_keeps_every_comment(lobby):
    before = lobby.read_text()
    assert run("cameras/lobby", "age", "--batch", "auto", "--file", lobby).output == (
        "cameras/lobby age: batch 8 -> auto\n"
    )
    after = lobby.read_text()
    assert "size: 8" not in after
    assert [line for line in after.splitlines() if "#" in line] == [line for line in before.splitlines() if "#" in line]
    assert run("cameras/lobby", "age", "--batch", "auto", "--file", lobby).output == (
        "cameras/lobby age: nothing to change, it is declared like that already\n"
    )


def test_auto_after_a_batch_size_gives_the_file_as_it_was(lobby):
    before = lobby.read_text()
    run("cameras/lobby", "face", "--batch", 16, "--file", lobby)
    run("cameras/lobby", "face", "--batch", "auto", "--file", lobby)
    assert lobby.read_text() == before


def test_auto_overrides_a_service_whose_batch_is_fixed(lobby):
    lobby.write_text(lobby.read_text() + "  batching: {mode: Fixed, size: 2}\n")
    assert run("cameras/lobby", "face", "--batch", "auto", "--file", lobby).output == (
        "cameras/lobby face: batch 2 -> auto\n"
    )
    assert "{name: face, batching: {mode: Auto}, model" in lobby.read_text()


def test_other_documents_of_the_file_stay_as_they_are(lobby, profile_text):
    before = lobby.read_text() + profile_text
    lobby.write_text(before)
    run("cameras/lobby", "age", "--batch", 16, "--file", lobby)
    assert lobby.read_text() == before.replace("size: 8", "size: 16")


def test_lists_that_are_not_indented_stay_so(lobby):
    before = lobby.read_text().replace("\n    ", "\n  ")
    lobby.write_text(before)
    run("cameras/lobby", "age", "--batch", 16, "--file", lobby)
    assert lobby.read_text() == before.replace("size: 8", "size: 16")


def test_a_digest_goes_with_the_version_that_it_pinned(lobby):
    lobby.write_text(
        lobby.read_text().replace('{name: age, version: "1"}', f'{{name: age, version: "1", sha256: {"a" * 64}}}')
    )
    run("cameras/lobby", "age", "--model-version", "2", "--file", lobby)
    assert '{name: age, version: "2"}' in lobby.read_text()


def test_permissions_and_links_stay(lobby, tmp_path):
    lobby.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(lobby)
    run("cameras/lobby", "age", "--batch", 16, "--file", link)
    assert link.is_symlink()
    assert "size: 16" in lobby.read_text()
    assert lobby.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("cameras/lobby", "face", "--batch", 512),
            "{file}: not changed: spec.modules[0].batching.size: Input should be less than or equal to 256, got 512",
        ),
        (("cameras/lobby", "face", "--batch", "many"), "--batch many: is not a batch size; write a number or 'auto'"),
        (("cameras/lobby", "face"), "nothing to set; give --batch, --model-version or both"),
        (("hall", "face", "--batch", 2), "{file}: there is no service 'hall'; there are: cameras/lobby"),
        (
            ("cameras/lobby", "gender", "--batch", 2),
            "{file}: service 'cameras/lobby' has no module 'gender'; there are: face, age, embedding",
        ),
        (
            ("cameras/lobby", "face", "--model-version", "2/../3"),
            (
                "{file}: not changed: spec.modules[0].model.version: '2/../3' is not a version: "
                "letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 63"
            ),
        ),
    ],
)
def test_what_cannot_be_set_is_refused_and_leaves_the_file_as_it_was(lobby, arguments, sentence):
    before = lobby.read_text()
    result = run(*arguments, "--file", lobby)
    assert result.output == sentence.format(file=lobby) + "\n"
    assert result.exit_code == 1
    assert lobby.read_text() == before


def test_a_file_that_is_not_there_is_named(tmp_path):
    result = run("lobby", "face", "--batch", 2, "--file", tmp_path / "none.yaml")
    assert result.output == f"{tmp_path / 'none.yaml'}: there is no such file; check the path\n"


def test_a_file_that_is_not_yaml_is_named(lobby):
    lobby.write_text("spec: [")
    result = run("lobby", "face", "--batch", 2, "--file", lobby)
    assert result.output.startswith(f"{lobby}: is not YAML at line ")
    assert result.exit_code == 1


def test_without_a_file_that_of_the_running_process_is_edited(lobby, state_home):
    register(state_home, os.getpid(), lobby)
    result = run("cameras/lobby", "age", "--batch", 16)
    assert result.stdout == "cameras/lobby age: batch 8 -> 16\n"
    assert result.stderr == f"a running `framepilot up`: {lobby}\n"
    assert "size: 16" in lobby.read_text()


def test_a_namespace_may_be_named_by_itself(lobby, state_home):
    register(state_home, os.getpid(), lobby)
    result = run("lobby", "age", "--batch", 16, "--namespace", "cameras")
    assert result.stdout == "cameras/lobby age: batch 8 -> 16\n"


def test_without_a_running_process_a_file_must_be_named():
    result = run("lobby", "age", "--batch", 16, "--local")
    assert result.output == "no `framepilot up` is running; name the file with --file FILE\n"
    assert result.exit_code == 1


def test_without_a_running_process_and_a_kubeconfig_both_are_said(kubeconfig):
    result = run("lobby", "age", "--batch", 16)
    assert result.output == (
        f"no running `framepilot up` has a service 'lobby'; there is no kubeconfig {kubeconfig}; "
        "name one with --kubeconfig or in $KUBECONFIG\n"
    )
    assert result.exit_code == 1


def test_what_a_process_left_that_ended_is_ignored_and_removed(lobby, state_home):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stale = register(state_home, ended.pid, lobby)
    assert (
        run("lobby", "age", "--batch", 16, "--local").output
        == "no `framepilot up` is running; name the file with --file FILE\n"
    )
    assert not stale.exists()


def test_a_service_that_no_running_process_has_is_refused(lobby, state_home):
    register(state_home, os.getpid(), lobby)
    result = run("hall", "age", "--batch", 16, "--local")
    assert result.output == f"no running `framepilot up` has a service 'hall'; its files are: {lobby}\n"


def test_a_service_in_two_files_of_running_processes_needs_a_choice(lobby, tmp_path, state_home):
    other = tmp_path / "other.yaml"
    other.write_text(lobby.read_text())
    register(state_home, os.getpid(), lobby, other)
    result = run("cameras/lobby", "age", "--batch", 16)
    assert result.output == (
        f"service 'cameras/lobby' is declared in several files; choose one with --file: {lobby}, {other}\n"
    )
