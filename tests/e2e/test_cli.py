"""`framepilot set`, `status`, `top`, `explain` and `validate` on a cluster, as a person types them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from framepilot_operator.commands.module_patch import module_patch
from framepilot_operator.commands.service_view import view
from framepilot_operator.edit import Edit
from support.framepilot_command import FRAMEPILOT, Framepilot
from support.kubectl import Kubectl
from support.resources import profile_document, runtime_document, service_document
from support.site import KIND, Site


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Processes that a test starts can be interrupted, even if the shell that runs the tests ignores it for them, as it
    does in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def lobby(namespace: Kubectl, **spec: Any) -> dict[str, Any]:
    """Declare a service that no node can run: what is tested is what the API server and the command say."""
    document = service_document()
    document["metadata"]["namespace"] = namespace.namespace
    document["spec"] |= {
        "streams": [{"name": "door", "source": "test://160x120"}],
        "sinks": [{"name": "events", "type": "stdout"}],
        "template": {"nodeSelector": {"nowhere": "at-all"}},
        **spec,
    }
    namespace.apply(document)
    return namespace.get(KIND, "lobby")


def modules(namespace: Kubectl) -> list[dict[str, Any]]:
    return namespace.get(KIND, "lobby")["spec"]["modules"]


@pytest.mark.usefixtures("crds")
class TestDeclarations:
    def test_edits_of_several_modules_at_once_are_all_made(self, namespace: Kubectl, framepilot: Framepilot) -> None:
        names = [f"module-{number}" for number in range(6)]
        lobby(namespace, modules=[{"name": name, "model": {"name": "age", "version": "1"}} for name in names])
        with ThreadPoolExecutor(len(names)) as pool:
            done = list(pool.map(lambda name: framepilot("set", "lobby", name, "--batch=16", "--no-wait"), names))
        assert [each.returncode for each in done] == [0] * len(names), [each.stderr for each in done]
        assert [(each["name"], each["batching"]["size"]) for each in modules(namespace)] == [(n, 16) for n in names]

    @pytest.mark.parametrize(
        ("meanwhile", "answer"),
        [
            ({"op": "replace", "path": "/spec/objective/latency", "value": "3s"}, "the object has been modified"),
            (
                {
                    "op": "add",
                    "path": "/spec/modules/0",
                    "value": {"name": "new", "model": {"name": "n", "version": "1"}},
                },
                "the server rejected our request",
            ),
        ],
    )
    def test_a_patch_of_what_was_changed_meanwhile_is_refused(
        self, namespace: Kubectl, meanwhile: dict[str, Any], answer: str
    ) -> None:
        patch = module_patch(view(lobby(namespace)), Edit("lobby", "age", 16))
        namespace("patch", KIND, "lobby", "--type=json", f"--patch={json.dumps([meanwhile])}")
        late = namespace.attempt("patch", KIND, "lobby", "--type=json", f"--patch={json.dumps(patch.operations)}")
        assert late.returncode != 0
        assert answer in late.stderr
        assert all("batching" not in module for module in modules(namespace))

    def test_batch_and_version_are_set_and_batch_is_given_back(
        self, namespace: Kubectl, framepilot: Framepilot
    ) -> None:
        before = lobby(namespace)["spec"]
        name = f"{namespace.namespace}/lobby age"
        done = framepilot("set", "lobby", "age", "--batch=16", "--model-version=2", "--no-wait")
        assert done.stdout.splitlines() == [f"{name}: batch auto -> 16", f"{name}: model age version 1 -> 2"]
        assert done.stderr.startswith("context framepilot (https://")
        assert framepilot("set", "lobby", "age", "--batch=auto", "--model-version=1", "--no-wait").returncode == 0
        assert namespace.get(KIND, "lobby")["spec"] == before

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("lobbi", "age", "--batch=2"), "there is no service 'lobbi' in namespace '{namespace}'; there are: lobby"),
            (
                ("lobby", "gender", "--batch=2"),
                "service '{namespace}/lobby' has no module 'gender'; there are: face, age",
            ),
            (("lobby", "age", "--batch=300"), "spec.modules[1].batching.size"),
            (("lobby", "age", "--model-version=2/../3"), "spec.modules[1].model.version"),
        ],
    )
    def test_what_cannot_be_set_is_refused(
        self, namespace: Kubectl, framepilot: Framepilot, arguments: tuple[str, ...], sentence: str
    ) -> None:
        before = lobby(namespace)["spec"]
        done = framepilot("set", *arguments)
        assert done.returncode == 1
        assert sentence.format(namespace=namespace.namespace) in done.stderr
        assert namespace.get(KIND, "lobby")["spec"] == before

    def test_a_change_that_does_not_come_into_force_is_an_error(
        self, namespace: Kubectl, framepilot: Framepilot
    ) -> None:
        lobby(namespace)
        done = framepilot("set", "lobby", "age", "--batch=16", "--timeout=2s")
        assert done.returncode == 1
        assert "not in force after 2 s, and still declared: " in done.stderr
        assert modules(namespace)[1]["batching"]["size"] == 16

    def test_who_may_only_look_can_look_and_is_told_what_is_missing(
        self, namespace: Kubectl, framepilot: Framepilot, kubectl: Kubectl, tmp_path: Path
    ) -> None:
        lobby(namespace)
        namespace("create", "serviceaccount", "guest")
        namespace("create", "role", "look", "--verb=get,list", f"--resource={KIND}")
        namespace("create", "rolebinding", "look", "--role=look", f"--serviceaccount={namespace.namespace}:guest")
        config = json.loads(kubectl.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": namespace("create", "token", "guest").strip()}
        guest = tmp_path / "guest"
        guest.write_text(json.dumps(config), encoding="utf-8")
        assert framepilot("status", "lobby", KUBECONFIG=str(guest)).returncode == 0
        done = framepilot("set", "lobby", "age", "--batch=16", KUBECONFIG=str(guest))
        assert done.returncode == 1
        assert 'cannot patch resource "inferenceservices" in API group "framepilot.dev"' in done.stderr
        assert f"ask for a role with the verb 'patch' on {KIND}" in done.stderr

    def test_files_are_checked_by_the_server_without_effect(
        self, namespace: Kubectl, framepilot: Framepilot, tmp_path: Path
    ) -> None:
        documents = [service_document(), runtime_document(), profile_document()]
        for document in documents[:2]:
            document["metadata"].pop("namespace")
        file = tmp_path / "site.yaml"
        file.write_text("---\n".join(f"{json.dumps(document)}\n" for document in documents), encoding="utf-8")
        done = framepilot("validate", "--server", str(file))
        assert done.returncode == 0, done.stderr
        taken = f"taken by the API server (dry run, namespace {namespace.namespace})"
        assert done.stdout.splitlines()[3:] == [
            f"{file}: InferenceService lobby: {taken}",
            f"{file}: InferenceRuntime shared: {taken}",
            f"{file}: ModelProfile centerface-1-cpu: {taken}",
        ]
        assert namespace.find(KIND, "lobby") is None
        nowhere = subprocess.run(
            [FRAMEPILOT, "validate", "--server", str(file), "--namespace=not-there"],
            text=True, capture_output=True, env=framepilot.environment, timeout=60, check=False,
        )  # fmt: skip
        assert nowhere.returncode == 1
        assert 'namespaces "not-there" not found' in nowhere.stderr

    def test_a_server_that_is_not_there_is_named(
        self, framepilot: Framepilot, kubectl: Kubectl, tmp_path: Path
    ) -> None:
        config = json.loads(kubectl.kubeconfig.read_text(encoding="utf-8"))
        config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
        (tmp_path / "away").write_text(json.dumps(config), encoding="utf-8")
        done = framepilot("status", KUBECONFIG=str(tmp_path / "away"))
        assert done.returncode == 1
        assert "the API server https://127.0.0.1:1 does not answer" in done.stderr

    @pytest.mark.usefixtures("interrupts")
    def test_every_change_is_shown_as_it_happens(self, namespace: Kubectl, framepilot: Framepilot) -> None:
        lobby(namespace)
        watching = subprocess.Popen(
            [FRAMEPILOT, "status", f"--namespace={namespace.namespace}", "--watch", "--output=json"],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=framepilot.environment,
        )  # fmt: skip
        try:
            seen = (json.loads(line)["spec"]["objective"]["latency"] for line in watching.stdout)
            assert next(seen) == "200ms"
            namespace("patch", KIND, "lobby", "--type=merge", '--patch={"spec": {"objective": {"latency": "3s"}}}')
            assert "3s" in seen
            watching.send_signal(signal.SIGINT)
            assert watching.wait(30) == 130
        finally:
            watching.kill()


class TestInForce:
    """With the operator, and a service that runs."""

    def test_a_change_is_waited_for_and_its_outcome_is_said(self, site: Site, framepilot: Framepilot) -> None:
        name = f"{site.kubectl.namespace}/lobby age"
        site.declare("lobby", batching={"mode": "Fixed", "size": 2})
        site.wait_ready("lobby")
        before = site.container("lobby")

        done = framepilot("set", "lobby", "age", "--batch=4")
        assert done.returncode == 0, done.stderr
        print(done.stdout)
        assert done.stdout.startswith(f"{name}: batch 2 -> 4\n{name}: in force after ")
        assert site.serving("lobby") == ("1", 4)

        assert framepilot("set", "lobby", "age", "--model-version=2").returncode == 0
        assert site.serving("lobby") == ("2", 4)

        done = framepilot("set", "lobby", "age", "--model-version=tampered")
        assert done.returncode == 1
        assert f"{name}: refused after " in done.stderr
        assert "version tampered was refused" in done.stderr
        assert site.serving("lobby") == ("2", 4)

        table = framepilot("status", "lobby").stdout
        assert [f"{site.kubectl.namespace}/lobby/age", *["age", "tampered,", "batch", "4", "2", "tampered", "4"]] in [
            line.split() for line in table.splitlines()
        ]
        assert "version tampered was refused" in table

        used = json.loads(framepilot("top", "lobby", "--output=json").stdout)
        assert [each["itemsPerSecond"] > 0 for each in used["modules"]] == [True]
        assert used["devices"][0]["own"] > 0
        (why,) = json.loads(framepilot("explain", "lobby", "--output=json").stdout)["modules"]
        assert (why["batch"], why["refused"]) == (4, "tampered")
        assert [size["size"] for size in why["sizes"] if size["inForce"]] == [4]

        assert framepilot("set", "lobby", "age", "--model-version=2", "--batch=auto").returncode == 0
        assert framepilot("set", "lobby", "age", "--model-version=2").stdout.startswith(f"{name}: nothing to change")
        assert site.container("lobby") == before
        assert site.ledger("lobby").whole
