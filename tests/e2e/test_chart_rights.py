"""Who may do what: the operator's account exactly what it needs, people what their roles in a namespace say.

The same is asked twice: of what the chart renders, and of the API server about a release that runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from framepilot_operator.kubernetes.leader import LEASE_NAME
from support.chart import Rendered, image_values, install, render, uninstall
from support.kubectl import Kubectl, until
from support.operator_release import NAME, NAMESPACE, OperatorRelease

# What the operator may do. Each line has its reason in the operator's code; one more needs another one there.
WORK = {
    ("framepilot.dev", "inferenceservices", "get list watch"),
    ("framepilot.dev", "inferenceservices/status", "patch"),
    ("framepilot.dev", "inferenceruntimes", "get list watch create patch delete"),
    ("framepilot.dev", "inferenceruntimes/status", "patch"),
    ("framepilot.dev", "modelprofiles", "get list watch create patch"),
    ("apps", "deployments", "get list watch create patch delete"),
    ("", "configmaps", "get list watch create patch delete"),
    ("", "services", "get list watch create patch delete"),
    ("", "pods", "get list watch patch"),
    ("events.k8s.io", "events", "create"),
}
NODES = {("", "nodes", "get list watch")}
LEASE = {
    ("coordination.k8s.io", "leases", "create"),
    ("coordination.k8s.io", f"leases/{LEASE_NAME}", "get patch"),
}


Rules = set[tuple[str, str, str]]


def rules(given: Iterable[dict[str, Any]]) -> Rules:
    """Group, resource, verbs: the verbs of one resource together."""
    found: dict[tuple[str, str], list[str]] = {}
    for rule in given:
        assert rule.keys() <= {"apiGroups", "resources", "resourceNames", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    found.setdefault((group, f"{resource}/{name}".rstrip("/")), []).extend(rule["verbs"])
    return {(group, resource, " ".join(verbs)) for (group, resource), verbs in found.items()}


def granted(rendered: Rendered) -> dict[tuple[str, str], Rules]:
    """What the operator's account may do: by the binding's kind and namespace."""
    granted: dict[tuple[str, str], Rules] = {}
    for kind in ("Role", "ClusterRole"):
        for binding in rendered.all(f"{kind}Binding"):
            where = binding["metadata"].get("namespace", "")
            named = (binding["roleRef"]["name"], where)
            (role,) = [
                each
                for each in rendered.all(kind)
                if (each["metadata"]["name"], each["metadata"].get("namespace", "")) == named
            ]
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "framepilot", "namespace": "operators"}]
            assert binding["roleRef"]["kind"] == kind
            granted.setdefault((kind, where), set()).update(rules(role["rules"]))
    return granted


def test_the_operator_may_do_in_all_namespaces_what_it_needs_there_and_no_more() -> None:
    assert granted(render()) == {("ClusterRole", ""): WORK | NODES, ("Role", "operators"): LEASE}


def test_an_operator_of_some_namespaces_has_no_rights_elsewhere() -> None:
    rendered = render({"watchNamespaces": ["a", "operators"]})
    assert granted(rendered) == {("Role", "a"): WORK, ("Role", "operators"): WORK | LEASE}
    assert {each["metadata"]["name"] for each in rendered.all("ClusterRole")} == {"framepilot-view", "framepilot-edit"}


def test_the_roles_of_users_become_part_of_the_clusters_own() -> None:
    rendered = render()
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    joins = {
        each["metadata"]["name"]: {
            label.removeprefix(prefix) for label in each["metadata"]["labels"] if label.startswith(prefix)
        }
        for each in rendered.all("ClusterRole")
    }
    assert joins == {
        "framepilot": set(),
        "framepilot-view": {"view", "edit", "admin"},
        "framepilot-edit": {"edit", "admin"},
    }
    assert rules(rendered.one("ClusterRole", "framepilot-view")["rules"]) == {
        ("framepilot.dev", each, "get list watch")
        for each in (
            "inferenceservices",
            "inferenceservices/status",
            "inferenceruntimes",
            "inferenceruntimes/status",
            "modelprofiles",
        )
    }
    assert rules(rendered.one("ClusterRole", "framepilot-edit")["rules"]) == {
        ("framepilot.dev", each, "create update patch delete deletecollection")
        for each in ("inferenceservices", "inferenceruntimes", "modelprofiles")
    }


def allowed(kubectl: Kubectl, account: str, namespace: str) -> Rules:
    """What the API server lets an account do in a namespace, without what it lets everybody do."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    # To validate it, kubectl would list the resource types, which the account may not.
    options = (f"--as={account}", "--validate=false", "--filename=-", "--output=json")
    answer = kubectl("create", *options, given=json.dumps(review))
    found = json.loads(answer)["status"]["resourceRules"]
    everybody = {"authorization.k8s.io", "authentication.k8s.io"}
    return rules(rule for rule in found if not everybody.intersection(rule["apiGroups"]))


def as_sets(given: Rules) -> set[tuple[str, str, frozenset[str]]]:
    """The API server gives the verbs of a resource in an order of its own."""
    return {(group, resource, frozenset(verbs.split())) for group, resource, verbs in given}


def test_the_account_of_a_release_for_all_namespaces_can_do_that_and_no_more(
    operator: OperatorRelease, namespace: Kubectl
) -> None:
    account = f"system:serviceaccount:{NAMESPACE}:framepilot"
    assert as_sets(allowed(namespace, account, str(namespace.namespace))) == as_sets(WORK | NODES)
    assert as_sets(allowed(namespace, account, NAMESPACE)) == as_sets(WORK | NODES | LEASE)


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "attempt",
    [
        "get secrets",
        "get namespaces",
        "delete node any",
        "create serviceaccount another",
        "create token default",
        "create rolebinding more --clusterrole=cluster-admin --user=ann",
        "create clusterrolebinding more --clusterrole=cluster-admin --user=ann",
        "run pod --image=any",
        "delete pod any",
        "create --raw=/api/v1/namespaces/default/pods/any/exec -f -",
        "delete namespace default",
        "delete inferenceservices.framepilot.dev any",
        "replace --raw=/apis/framepilot.dev/v1alpha1/namespaces/default/inferenceservices/any -f -",
        "delete modelprofiles.framepilot.dev any",
        "get leases",
        "annotate lease any a=b",
        "delete lease framepilot-operator",
        "delete crd inferenceservices.framepilot.dev",
    ],
)
def test_the_account_is_refused_what_it_was_not_given(namespace: Kubectl, attempt: str) -> None:
    verb, *rest = attempt.split()
    done = namespace.attempt(verb, f"--as=system:serviceaccount:{NAMESPACE}:{NAME}", *rest, given="{}")
    assert done.returncode != 0
    assert "forbidden: User" in done.stderr, done.stderr


@pytest.mark.usefixtures("operator")
def test_a_pod_that_is_not_restricted_is_taken_neither_beside_the_operator_nor_beside_instances(
    namespace: Kubectl,
) -> None:
    for where in (namespace, namespace.within(NAMESPACE)):
        done = where.attempt("run", "any", "--image=any", "--privileged", "--dry-run=server")
        assert done.returncode != 0
        assert 'violates PodSecurity "restricted:latest"' in done.stderr, done.stderr


@pytest.fixture
def confined(namespace: Kubectl, images: dict[str, str]) -> Iterator[str]:
    """The account of a release of its own namespace only; another one has the resource types."""
    name = "confined"
    values = {"watchNamespaces": [namespace.namespace], "crds": {"install": False}, **image_values(images)}
    install(namespace, name, values)
    yield f"system:serviceaccount:{namespace.namespace}:{name}-framepilot"
    uninstall(namespace, name)


@pytest.mark.usefixtures("operator")
def test_the_account_of_a_release_for_one_namespace_works_there_and_can_do_nothing_elsewhere(
    confined: str, namespace: Kubectl
) -> None:
    # It is ready, so it has seen all that it looks at.
    assert as_sets(allowed(namespace, confined, str(namespace.namespace))) == as_sets(WORK | LEASE)
    assert allowed(namespace, confined, "default") == set()


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("view", {"get": "yes", "create": "no", "delete": "no"}),
        ("edit", {"get": "yes", "create": "yes", "delete": "yes"}),
    ],
)
def test_people_may_do_with_services_what_their_role_in_the_namespace_says(
    namespace: Kubectl, role: str, may: dict[str, str]
) -> None:
    namespace("create", "rolebinding", "ann", f"--clusterrole={role}", "--user=ann")

    def answers() -> dict[str, str]:
        # Its exit status is that of the answer.
        asked = ("auth", "can-i", "--as=ann")
        return {
            verb: namespace.attempt(*asked, verb, "inferenceservices.framepilot.dev").stdout.strip() for verb in may
        }

    until(f"{may}", lambda: answers() == may, timeout_s=30)
