from __future__ import annotations

import pytest
from typer.testing import CliRunner

from framepilot_operator.cli import build


def run(*files: object):
    return CliRunner().invoke(build(()), ["validate", *map(str, files)])


def test_every_resource_in_order_is_named(lobby, tmp_path, profile_text):
    profiles = tmp_path / "profiles.yaml"
    profiles.write_text(profile_text)
    result = run(lobby, profiles)
    assert result.output.splitlines() == [
        f"{lobby}: InferenceService cameras/lobby (1 stream, 3 modules): OK",
        f"{profiles}: ModelProfile default/age-1-cpu: OK",
    ]
    assert result.exit_code == 0


def test_every_problem_of_every_file_is_said_in_its_own_line(lobby, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        lobby.read_text()
        .replace("name: lobby", "name: hall")
        .replace("latency: 200ms", "latency: soon")
        .replace("streams:", "streamz: 1\n  streams:")
    )
    result = run(bad, lobby, tmp_path / "none.yaml")
    problems = result.stderr.splitlines()
    assert sorted(problems) == sorted(
        [
            f"{bad}: spec.streamz: unknown field; remove it or check its spelling",
            (
                f"{bad}: spec.objective.latency: 'soon' is not a duration above 0; write a number and one of the units "
                "ms, s, m, such as 200ms or 1.5s"
            ),
            f"{tmp_path / 'none.yaml'}: there is no such file; check the path",
        ]
    )
    assert result.stdout == f"{lobby}: InferenceService cameras/lobby (1 stream, 3 modules): OK\n"
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty; delete it to remove what it declared"),
        ("# only a comment\n", "is empty; delete it to remove what it declared"),
        ("- a\n- b\n", "is a list; a resource is a mapping with apiVersion"),
        (
            "apiVersion: framepilot.dev/v1alpha1\nkind: Deployment\n",
            "kind: 'Deployment' is not known; supported are InferenceService, InferenceRuntime, ModelProfile",
        ),
        ("kind: InferenceService\n", "apiVersion: required, and missing; write apiVersion: framepilot.dev/v1alpha1"),
    ],
)
def test_what_is_no_resource_is_refused(tmp_path, text, sentence):
    file = tmp_path / "file.yaml"
    file.write_text(text)
    result = run(file)
    assert result.stderr == f"{file}: {sentence}\n"
    assert result.exit_code == 1


def test_a_syntax_error_is_shown_with_its_place(tmp_path):
    file = tmp_path / "file.yaml"
    file.write_text("spec:\n  streams: [\n")
    result = run(file)
    assert result.stderr.startswith(f"{file}: is not YAML at line 3, column 1: ")
    assert result.exit_code == 1


def test_a_problem_in_one_of_several_documents_names_the_document(lobby, profile_text):
    lobby.write_text(lobby.read_text() + profile_text.replace("p50: 4ms", "p50: 6ms"))
    result = run(lobby)
    assert result.stderr.startswith(f"{lobby} (document 2): spec.points[0]: p50 6ms is longer than p99 5ms")


def test_one_service_in_two_files_is_refused(lobby, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(lobby.read_text())
    result = run(lobby, other)
    assert result.stderr == f"{other}: 'cameras/lobby' is declared already in {lobby}; remove one\n"
