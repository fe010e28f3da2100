from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from framepilot.resources.service import InferenceService
from framepilot_operator.cluster.declarations import Declarations, read_declarations
from support.resources import profile_document, service_document


def written(path: Path, *documents: dict[str, Any]) -> Path:
    with path.open("w") as file:
        YAML(typ="safe").dump_all(documents, file)
    return path


def messages(found: Declarations) -> str:
    return "\n".join(problem.message for problem in found.problems)


def test_several_documents_of_one_file_are_read(tmp_path: Path) -> None:
    found = read_declarations(written(tmp_path / "all.yaml", service_document(), profile_document()))
    assert [resource.key for resource in found.resources] == ["cameras/lobby", "default/centerface-1-cpu"]
    assert not found.problems


def test_relative_paths_mean_the_folder_of_the_file(tmp_path: Path) -> None:
    document = service_document()
    document["spec"]["models"]["store"] = "file:models"
    document["spec"]["sinks"].append(
        {
            "name": "broker",
            "type": "mqtt",
            "url": "mqtts://broker/x",
            "spool": {"size": "1Gi", "path": "spool"},
            "tls": {"ca": "ca.crt", "certificate": "/keys/tls.crt", "key": "keys/tls.key"},
        }
    )
    (resource,) = read_declarations(written(tmp_path / "lobby.yaml", document)).resources
    assert isinstance(resource, InferenceService)
    assert resource.spec.sinks[1].paths() == {
        "spool.path": f"{tmp_path}/spool",
        "tls.ca": f"{tmp_path}/ca.crt",
        "tls.certificate": "/keys/tls.crt",
        "tls.key": f"{tmp_path}/keys/tls.key",
    }
    assert resource.spec.streams[0].source == f"file://{tmp_path}/videos/door.mp4"
    assert resource.spec.models.store == f"file://{tmp_path}/models"
    assert resource.spec.sinks[0].path == f"{tmp_path}/events.jsonl"


def test_a_broken_document_does_not_spoil_its_neighbours(tmp_path: Path) -> None:
    broken = service_document()
    broken["metadata"]["name"] = "hall"
    broken["spec"]["colour"] = "red"
    found = read_declarations(written(tmp_path / "all.yaml", broken, service_document()))
    assert [resource.key for resource in found.resources] == ["cameras/lobby"]
    (problem,) = found.problems
    assert problem.where.endswith("all.yaml (document 1)")
    assert problem.service == "cameras/hall"
    assert problem.message == "spec.colour: unknown field; remove it or check its spelling"
    assert not found.partial


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not YAML at line 1"),
        ("a: 1\na: 2\n", "found duplicate key"),
        ("a: *nowhere\n", "undefined alias"),
        ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        ("", "is empty"),
        ("---\n---\n# nothing\n", "is empty"),
        ("[1, 2]", "is a list; a resource is a mapping"),
        ("kind: InferenceService\n", "apiVersion: required"),
        ("a: \x00\n", "is not YAML"),
    ],
)
def test_what_cannot_be_read_says_so_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    found = read_declarations(tmp_path / "bad.yaml")
    assert said in messages(found)
    assert found.resources == ()
    assert found.partial


def test_bytes_that_are_no_text_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\xfa")
    assert "is not YAML" in messages(read_declarations(tmp_path / "bad.yaml"))


def test_a_folder_in_place_of_a_file_is_a_problem(tmp_path: Path) -> None:
    found = read_declarations(tmp_path)
    assert "cannot be read" in messages(found)
    assert found.partial


def test_a_file_that_does_not_exist_declares_nothing(tmp_path: Path) -> None:
    found = read_declarations(tmp_path / "nowhere.yaml")
    assert "there is no such file" in messages(found)
    assert not found.partial
