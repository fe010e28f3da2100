"""Tests on a real cluster: `make e2e` builds one, or they run in the cluster that FRAMEPILOT_E2E=1 finds running.

Each test, or file of tests, has a namespace of its own. In it, and in the operator's, the restricted pod security
standard is enforced.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from support.chart import rights
from support.cluster import paths, settings
from support.framepilot_command import Framepilot
from support.images import servers
from support.images.build import publish
from support.images.registry import Registry
from support.kubectl import Kubectl
from support.namespaces import new_namespace, restricted
from support.operator_release import NAME, NAMESPACE, OperatorRelease
from support.samples.build import build as samples
from support.site import KIND, OWNED, Site, site_in
from support.web_store import WebStore

if "FRAMEPILOT_E2E" not in os.environ:
    collect_ignore_glob = ["*"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a test that failed what there is in its namespace, and the end of the operator's log."""
    report = yield
    namespace = item.funcargs.get("namespace")
    if report.when == "call" and report.failed and isinstance(namespace, Kubectl):
        kinds = f"{KIND},{OWNED},events"
        report.sections.append(("its namespace", namespace.attempt("get", kinds, "--output=wide").stdout))
        report.sections.append(("its services", namespace.attempt("get", KIND, "--output=yaml").stdout))
        report.sections.append(("its pods", namespace.attempt("describe", "pods").stdout))
        logs = ("logs", "--selector=app.kubernetes.io/component=operator", "--prefix", "--tail=40")
        report.sections.append(("the operator", namespace.within(NAMESPACE).attempt(*logs).stdout))
    return report


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    return Kubectl(paths.KUBECTL, paths.KUBECONFIG)


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """The references of the images of this checkout by target, built now and in the cluster's registry."""
    return publish(Registry(paths.REGISTRY), os.environ, samples())


@pytest.fixture(scope="session")
def operator(kubectl: Kubectl, images: dict[str, str]) -> Iterator[OperatorRelease]:
    """The operator, installed by the chart for all namespaces."""
    release = OperatorRelease(kubectl, images, paths.HELM)
    kubectl.apply(restricted(NAMESPACE))
    release.install()
    yield release
    release.uninstall()


@pytest.fixture(scope="session")
def crds(operator: OperatorRelease) -> None:
    """The resource types, which the chart brings."""


@pytest.fixture(scope="module")
def alone(operator: OperatorRelease) -> Iterator[None]:
    """The operator that the chart installed is away, so that a test's own one is the only one at work."""
    operator.scale(0)
    yield
    operator.scale(1)


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a new namespace; the namespace is removed afterwards."""
    with new_namespace(kubectl) as made:
        yield made


@pytest.fixture
def framepilot(kubectl: Kubectl, namespace: Kubectl, tmp_path: Path) -> Framepilot:
    """The command in the test's namespace; the cluster is the current context, and no session runs."""
    environment = {**os.environ, "KUBECONFIG": str(kubectl.kubeconfig), "XDG_STATE_HOME": str(tmp_path / "state")}
    return Framepilot(environment, str(namespace.namespace))


@pytest.fixture
def account(namespace: Kubectl) -> str:
    """The name of a service account that may do in the test's namespace what the chart lets an operator do, no more."""
    namespace.apply(*rights(str(namespace.namespace)))
    return NAME


@pytest.fixture
def site(operator: OperatorRelease, namespace: Kubectl) -> Iterator[Site]:
    """A namespace with the sample models and videos, and a folder for results that this process can read."""
    with site_in(namespace) as made:
        yield made


@pytest.fixture(scope="session")
def servers_image() -> str:
    """The image of cameras and brokers, in the cluster's registry."""
    return servers.publish(Registry(paths.REGISTRY), os.environ, servers.SERVERS)


@pytest.fixture
def slow_store() -> Iterator[WebStore]:
    """The sample models on a web server that pods reach; of version 2 of `age` all comes only when it is released."""
    store = WebStore(samples() / "models", host=settings.NODE_ADDRESS)
    store.answers["age/2/weights.safetensors"] = [store.hold] * 9
    with store.running():
        yield store
