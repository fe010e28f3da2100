"""The examples for Kubernetes can be applied as they are, but for the words that stand for somebody's own."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from ruamel.yaml import YAML

from framepilot.resources.parse import parse_resource
from framepilot_app.models.credentials import credentials_for
from framepilot_operator.cluster.kube_declared import read_runtime, read_service

FOLDER = Path(__file__).parents[3] / "examples" / "kubernetes"
READERS = {"InferenceService": read_service, "InferenceRuntime": read_runtime}


def documents(path: Path) -> list[dict[str, Any]]:
    return [*YAML(typ="safe").load_all(path.read_text())]


DECLARED = [
    (path.name, document)
    for path in sorted(FOLDER.glob("*.yaml"))
    for document in documents(path)
    if document["kind"] in READERS
]


@pytest.mark.parametrize(("name", "document"), DECLARED, ids=lambda value: value if isinstance(value, str) else "")
def test_an_example_is_a_declaration_that_the_operator_takes(name: str, document: dict[str, Any]) -> None:
    document["metadata"] |= {"namespace": "default", "uid": "u", "resourceVersion": "7", "generation": 1}
    document["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z"}
    assert READERS[document["kind"]](document).problem is None


def test_the_files_that_the_variables_of_the_private_store_name_are_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = FOLDER / "credentials.yaml"
    there = {(each["kind"], each["metadata"]["name"]): each for each in documents(path)}
    (spec,) = (each["spec"] for each in documents(path) if each["kind"] == "InferenceService")
    template = spec["template"]
    keys = {
        "credentials": there["Secret", template["volumes"][0]["secret"]["secretName"]]["stringData"],
        "authority": there["ConfigMap", template["volumes"][1]["configMap"]["name"]]["data"],
    }
    mounted = {
        str(PurePosixPath(mount["mountPath"]) / key): text
        for mount in template["volumeMounts"]
        for key, text in keys[mount["name"]].items()
    }
    variables = {each["name"]: each["value"] for each in template["env"]}
    assert {*variables.values()} == mounted.keys()
    (tmp_path / "netrc").write_text(mounted[variables["NETRC"]])
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert credentials_for("'age' version '1'", spec["models"]["store"]).authorization is not None


def test_the_example_of_cameras_has_its_credentials_in_the_secret_that_it_names() -> None:
    there = {each["kind"]: each for each in documents(FOLDER / "cameras.yaml")}
    spec = there["InferenceService"]["spec"]
    assert spec["credentialsSecretName"] == there["Secret"]["metadata"]["name"]
    assert {key.partition(".")[0] for key in there["Secret"]["stringData"]} == {
        each["name"] for each in spec["streams"]
    }


def test_the_example_of_cameras_on_one_machine_is_valid() -> None:
    for document in documents(FOLDER.parent / "cameras.yaml"):
        parse_resource(document, "cameras.yaml")
