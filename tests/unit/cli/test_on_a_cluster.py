from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from framepilot.resources.parse import parse_resource
from framepilot_operator.cli import build
from framepilot_operator.cluster.records import write_declared
from framepilot_operator.cluster.registry import Record
from framepilot_operator.running import registered
from support.resources import service_document
from support.service_api import ServiceApi, service_api, status_of, write_kubeconfig


@pytest.fixture
def api(kubeconfig):
    with service_api() as api:
        write_kubeconfig(kubeconfig, api.url, namespace="cameras")
        yield api


@pytest.fixture
def lobby_service(api: ServiceApi) -> dict:
    return api.add(service_document())


def run(*arguments: object):
    return CliRunner().invoke(build(()), list(map(str, arguments)))


def status(generation: int, batch: int = 1, serving: str = "1", **module: str) -> dict:
    said = {"reason": "R", "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {
        "observedGeneration": generation,
        "conditions": [
            {"type": "Ready", "status": "True", "message": "Every module serves.", **said},
            {"type": "Reconciling", "status": "False", "message": "Nothing is on its way.", **said},
            {
                "type": "ModelsReady",
                "status": "False" if "refused" in module else "True",
                "message": "age: version 9 was refused: wrong digest" if "refused" in module else "",
                **said,
            },
        ],
        "modules": [{"name": "age", "serving": serving, "batch": batch, **module}],
    }


def modules(api: ServiceApi) -> list[dict]:
    return api.services["cameras/lobby"]["spec"]["modules"]


@pytest.mark.usefixtures("lobby_service")
class TestSet:
    def test_a_change_is_made_and_waited_for(self, api):
        api.after_patch = lambda _: [status(1), status(2, batch=1), status(2, batch=16)]
        result = run("set", "lobby", "age", "--batch", 16)
        assert result.exit_code == 0
        first, last = result.stdout.splitlines()
        assert first == "cameras/lobby age: batch auto -> 16"
        assert last.startswith("cameras/lobby age: in force after ")
        assert last.endswith(" s: version 1, batch 16")
        assert result.stderr.splitlines()[0] == f"context site ({api.url})"
        assert modules(api)[1]["batching"] == {"mode": "Fixed", "size": 16}

    def test_a_refused_version_is_an_error_that_says_why(self, api):
        api.after_patch = lambda _: [status(2, refused="9")]
        result = run("set", "lobby", "age", "--model-version", 9)
        assert result.exit_code == 1
        assert " s: age: version 9 was refused: wrong digest" in result.stderr

    def test_a_change_that_nobody_makes_true_is_an_error_after_a_while_and_stays_declared(self, api):
        result = run("set", "lobby", "age", "--batch", 16, "--timeout", "200ms")
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == (
            "cameras/lobby age: not in force after 0.2 s, and still declared: "
            "the operator has not looked at the change yet; does it run?"
        )
        assert modules(api)[1]["batching"]["size"] == 16

    def test_without_waiting_only_the_declaration_matters(self):
        result = run("set", "cameras/lobby", "age", "--batch", 16, "--no-wait")
        assert (result.exit_code, result.stdout) == (0, "cameras/lobby age: batch auto -> 16\n")

    def test_a_list_that_is_edited_meanwhile_is_read_again(self, api):
        def edit(service: dict) -> None:
            api.before_patch = lambda _: None
            service["spec"]["modules"].insert(0, {"name": "new", "model": {"name": "new", "version": "1"}})
            service["metadata"]["generation"] += 1
            api.store(service)

        api.before_patch = edit
        result = run("set", "lobby", "age", "--batch", 16, "--no-wait")
        assert result.exit_code == 0, result.output
        assert [(module["name"], module.get("batching")) for module in modules(api)] == [
            ("new", None),
            ("face", None),
            ("age", {"mode": "Fixed", "size": 16}),
        ]

    def test_a_service_that_is_changed_all_the_time_is_given_up(self, api):
        api.before_patch = api.store
        result = run("set", "lobby", "age", "--batch", 16)
        assert result.exit_code == 1
        assert "cameras/lobby: not changed: others changed it 10 times meanwhile; try again" in result.stderr

    def test_a_service_that_is_deleted_meanwhile_is_said(self, api):
        def delete(service: dict) -> list:
            del api.services["cameras/lobby"]
            return []

        api.after_patch = delete
        result = run("set", "lobby", "age", "--batch", 16)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].endswith(" s: the service was deleted")

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (
                ("lobbi", "age"),
                "there is no service 'lobbi' in namespace 'cameras'; there are: lobby",
            ),
            (
                ("hall/lobby", "age"),
                (
                    "there is no service 'lobby' in namespace 'hall'; there is none in it; "
                    "in other namespaces: cameras/lobby"
                ),
            ),
            (("lobby", "gender"), "service 'cameras/lobby' has no module 'gender'; there are: face, age"),
        ],
    )
    def test_what_is_not_there_is_said_with_what_is(self, arguments, sentence):
        result = run("set", *arguments, "--batch", 16)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == sentence

    def test_a_running_session_that_declares_the_service_comes_first(self, api, lobby, tmp_path, state_home):
        with registered(state_home / "framepilot" / "up", [lobby], tmp_path / "state"):
            assert "a running `framepilot up`" in run("set", "cameras/lobby", "age", "--batch", 2).stderr
            assert "size: 2" in lobby.read_text()
            assert api.requests == []
            assert run("set", "cameras/lobby", "age", "--batch", 3, "--cluster", "--no-wait").exit_code == 0
            assert modules(api)[1]["batching"]["size"] == 3
            assert "size: 2" in lobby.read_text()

    def test_a_session_without_the_service_is_named_where_the_context_has_none_either(
        self, lobby, tmp_path, state_home
    ):
        with registered(state_home / "framepilot" / "up", [lobby], tmp_path / "state"):
            result = run("set", "cameras/hall", "age", "--batch", 2)
        assert result.stderr.splitlines()[-1] == (
            "no running `framepilot up` has a service 'cameras/hall'; "
            "there is no service 'hall' in namespace 'cameras'; there are: lobby"
        )


FORBIDDEN = (
    'inferenceservices.framepilot.dev "lobby" is forbidden: User "ada" cannot patch resource "inferenceservices"'
)


@pytest.mark.usefixtures("lobby_service")
@pytest.mark.parametrize(
    ("verb", "status", "text", "sentence"),
    [
        (
            "get",
            404,
            "404 page not found\n",
            (
                "context site: has no resource inferenceservices.framepilot.dev; install the Helm chart of Framepilot, "
                "or its CRDs with `kubectl apply --server-side --filename crds/`"
            ),
        ),
        (
            "get",
            401,
            json.dumps(status_of(401, "Unauthorized")),
            (
                "context site: Unauthorized; its credentials are not accepted: "
                "log in again, or choose another context with --context"
            ),
        ),
        (
            "patch",
            403,
            json.dumps(status_of(403, FORBIDDEN)),
            (
                f"cameras/lobby age: not changed: context site: {FORBIDDEN}; "
                "ask for a role with the verb 'patch' on inferenceservices.framepilot.dev "
                "(to see it: kubectl auth can-i patch inferenceservices.framepilot.dev --namespace cameras)"
            ),
        ),
        (
            "patch",
            422,
            json.dumps(status_of(422, "it is invalid", {"causes": [{"field": "spec.x", "message": "too many"}]})),
            "cameras/lobby age: not changed: context site: spec.x: too many",
        ),
        ("get", 503, "upstream is away", "context site: upstream is away"),
    ],
)
def test_a_refusal_says_what_to_do(api, verb, status, text, sentence):
    api.refusals[verb] = status, text
    result = run("set", "lobby", "age", "--batch", 16)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == sentence


def test_a_server_that_does_not_answer_is_named(kubeconfig):
    write_kubeconfig(kubeconfig, "http://127.0.0.1:1")
    result = run("status")
    assert result.exit_code == 1
    assert "context site: the API server http://127.0.0.1:1 does not answer: " in result.stderr


@pytest.mark.parametrize(
    ("text", "arguments", "sentence"),
    [
        (None, (), "there is no context 'hall'; there are: site"),
        ('{"contexts": [], "clusters": [], "users": []}', (), "there is no context 'hall'; it has none"),
        ("contexts: [", (), "cannot be used: "),
        ("- a", (), "cannot be used: "),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named(kubeconfig, text, arguments, sentence):
    write_kubeconfig(kubeconfig, "http://127.0.0.1:1")
    if text is not None:
        kubeconfig.write_text(text)
    result = run("status", "--context", "hall")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{kubeconfig}: {sentence}")


def test_no_current_context_is_said_with_those_there_are(kubeconfig):
    write_kubeconfig(kubeconfig, "http://127.0.0.1:1")
    kubeconfig.write_text(kubeconfig.read_text().replace('"current-context": "site"', '"current-context": ""'))
    result = run("status", "--cluster")
    assert result.stderr == (
        f"{kubeconfig}: no context is the current one; choose one with --context: there are: site\n"
    )


@pytest.mark.usefixtures("lobby_service")
class TestStatus:
    def test_services_and_modules_are_shown(self, api):
        api.store({**api.services["cameras/lobby"], "status": status(1, batch=4, refused="9")})
        result = run("status")
        assert result.stderr == f"context site ({api.url}), namespace cameras\n"
        assert [line.split() for line in result.stdout.splitlines() if line] == [
            ["service", "ready", "objectivemet", "reconciling", "stalled"],
            ["cameras/lobby", "True", "R", "not", "reported", "False", "R", "not", "reported"],
            ["module", "declared", "serving", "candidate", "refused", "batch"],
            ["cameras/lobby/face", "centerface", "1,", "batch", "auto"],
            ["cameras/lobby/age", "age", "1,", "batch", "auto", "1", "9", "4"],
            ["cameras/lobby", "ModelsReady:", "age:", "version", "9", "was", "refused:", "wrong", "digest"],
        ]

    def test_of_a_single_service_the_plan_is_shown_with_its_reasons(self, api):
        planned = {"name": "age", "batch": 4, "maxWait": "7ms", "budget": "200ms", "latency": "21ms", "reason": "fixed"}
        plan = {"latency": "42ms", "utilization": "35%", "reason": "what runs is good enough", "modules": [planned]}
        api.store({**api.services["cameras/lobby"], "status": {**status(1), "plan": plan}})
        lines = [line.split() for line in run("status", "lobby").stdout.splitlines()]
        assert lines[-3:] == [
            ["planned", "batch", "waits", "budget", "latency", "device", "time", "why"],
            ["age", "4", "7ms", "200ms", "21ms", "not", "known", "fixed"],
            ["all:", "latency", "42ms,", "device", "time", "35%:", "what", "runs", "is", "good", "enough"],
        ]
        api.store({**api.services["cameras/lobby"], "status": {**status(1), "plan": {**plan, "costPerHour": "0.35"}}})
        assert "device time 35%, costs 0.35 an hour: what runs" in run("status", "lobby").stdout
        api.add({**service_document(), "metadata": {"name": "yard", "namespace": "cameras"}})
        assert "planned" not in run("status").stdout

    def test_a_service_is_written_as_it_is(self, lobby_service):
        lobby_service["metadata"]["managedFields"] = [{"manager": "kubectl"}]
        found = json.loads(run("status", "lobby", "-o", "json").stdout)
        assert found["metadata"]["name"] == "lobby"
        assert "managedFields" not in found["metadata"]

    def test_services_are_written_as_a_list(self, api):
        api.add({**service_document(), "metadata": {"name": "yard", "namespace": "north"}})
        assert [item["metadata"]["name"] for item in json.loads(run("status", "-o", "json").stdout)["items"]] == [
            "lobby"
        ]
        everywhere = json.loads(run("status", "-A", "-o", "json").stdout)
        assert (everywhere["kind"], len(everywhere["items"])) == ("List", 2)

    def test_no_service_is_no_error(self):
        result = run("status", "--namespace", "empty")
        assert (result.exit_code, result.stdout) == (0, "there are no services\n")

    def test_a_service_that_is_not_there_is_an_error(self):
        result = run("status", "loby")
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].endswith("there are: lobby")

    def test_those_of_a_running_session_come_first(self, api, lobby, tmp_path, state_home):
        document = service_document()
        document["status"] = status(1, batch=7)
        resource = parse_resource(document, "test")
        (tmp_path / "services").mkdir()
        write_declared(tmp_path / "services", Record(resource, "u", 1, 0.0, str(lobby)))
        with registered(state_home / "framepilot" / "up", [lobby], tmp_path):
            here = run("status")
            assert here.stderr == f"a running `framepilot up`: {lobby}\n"
            assert ["cameras/lobby/age", "age", "1,", "batch", "auto", "1", "7"] in [
                line.split() for line in here.stdout.splitlines()
            ]
            assert json.loads(run("status", "cameras/lobby", "-o", "json").stdout)["status"]["modules"][0]["batch"] == 7
            assert api.requests == []
            assert run("status", "--cluster").stderr.startswith("context site")
            assert run("status", "hall", "--local").stderr == "no running `framepilot up` has a service 'hall'\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("status", "cameras/lobby", "--namespace", "hall"), "is not the namespace of 'cameras/lobby'"),
        (("status", "--local", "--context", "site"), "does not go with --context"),
        (("status", "-A", "-n", "hall"), "does not go with SERVICE and --namespace"),
        (("set", "lobby", "age", "--batch", 2, "--file", "x.yaml", "--cluster"), "is for this machine"),
        (("set", "lobby", "age", "--batch", 2, "--timeout", "soon"), "'soon' is not a duration"),
        (("validate", "x.yaml", "--namespace", "hall"), "say --server too"),
    ],
)
def test_what_contradicts_itself_is_refused(arguments, sentence):
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.replace("│", " ").split())
