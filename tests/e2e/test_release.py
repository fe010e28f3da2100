"""The life of a release: what `helm` does with the operator leaves the instances alone."""

from __future__ import annotations

import pytest

from support.kubectl import until
from support.operator_release import NAME, OperatorRelease
from support.site import KIND, Site

OBJECTS = "deployments,replicasets,pods,services,serviceaccounts,roles,rolebindings"


def argument(operator: OperatorRelease, option: str) -> str:
    """What an option of the operator is given."""
    (container,) = operator.system.get("deployment", operator.deployment())["spec"]["template"]["spec"]["containers"]
    return next(each.partition("=")[2] for each in container["args"] if each.startswith(f"{option}="))


def left_over(operator: OperatorRelease) -> str:
    """What there still is in the release's namespace."""
    return operator.system("get", OBJECTS, f"--selector=app.kubernetes.io/instance={NAME}", "--output=name")


def test_an_upgrade_and_a_rollback_replace_the_operator_and_no_instance(site: Site, operator: OperatorRelease) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 2})
    site.wait_ready("lobby")
    before, operators = site.container("lobby"), set(operator.pods())
    try:
        operator.install("--set=logLevel=debug")
        assert argument(operator, "--log-level") == "debug"
        until("the pods before to be gone", lambda: not operators & set(operator.pods()))
        site.patch_batch("lobby", 3)
        until("batch 3", lambda: site.serving("lobby") == ("1", 3))
        operator.run_helm("rollback", NAME, "--wait", "--timeout=5m")
        assert argument(operator, "--log-level") == "info"
        site.patch_batch("lobby", 4)
        until("batch 4", lambda: site.serving("lobby") == ("1", 4))
    finally:
        operator.install()
    assert site.container("lobby") == before
    assert site.ledger("lobby").whole


@pytest.mark.timeout(600)
def test_uninstalled_it_leaves_services_and_instances_and_installed_again_it_goes_on(
    site: Site, operator: OperatorRelease
) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 2})
    site.wait_ready("lobby")
    before, arrived = site.container("lobby"), site.ledger("lobby").arrived
    try:
        operator.uninstall()
        until("everything of it to be gone", lambda: not left_over(operator))
        assert operator.kubectl.find("clusterrole", "framepilot") is None
        assert operator.kubectl.find("crd", KIND) is not None
        # Nobody is there to bring it.
        site.patch_batch("lobby", 5)
        until("results without an operator", lambda: site.ledger("lobby").arrived > arrived + 20)
    finally:
        operator.install()
    until("batch 5", lambda: site.serving("lobby") == ("1", 5))
    assert site.container("lobby") == before
    assert site.ledger("lobby").whole
