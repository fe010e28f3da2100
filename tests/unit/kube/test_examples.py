"""The examples for Kubernetes can be applied as they are, but for the words that stand for somebody's own."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from ruamel.yaml import YAML

from framepilot_app.models.credentials import credentials_for
from framepilot_operator.cluster.kube_declared import read_service

FOLDER = Path(__file__).parents[3] / "examples" / "kubernetes"
SERVICES = sorted({path for path in FOLDER.glob("*.yaml") if "kind: InferenceService" in path.read_text()})


def documents(path: Path) -> list[dict[str, Any]]:
    return [*YAML(typ="safe").load_all(path.read_text())]


def declared(path: Path) -> dict[str, Any]:
    (document,) = (each for each in documents(path) if each["kind"] == "InferenceService")
    return document


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_an_example_is_a_declaration_that_the_operator_takes(path: Path) -> None:
    document = declared(path)
    document["metadata"] |= {"namespace": "default", "uid": "u", "resourceVersion": "7", "generation": 1}
    document["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z"}
    assert read_service(document).problem is None


def test_the_files_that_the_variables_of_the_private_store_name_are_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = FOLDER / "credentials.yaml"
    there = {(each["kind"], each["metadata"]["name"]): each for each in documents(path)}
    spec = declared(path)["spec"]
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
