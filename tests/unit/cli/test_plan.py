from __future__ import annotations

import json

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from framepilot_operator.cli import build
from support.workloads import workload


def run(*arguments: object):
    return CliRunner().invoke(build(()), ["plan", "--workload", *map(str, arguments)])


@pytest.fixture
def file(tmp_path):
    def written(document: object, name: str = "w.json"):
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return path

    return written


def test_one_workload_gives_one_plan_and_a_list_gives_a_list(file):
    one = json.loads(run(file(workload(1)), "-o", "json").stdout)
    (listed,) = json.loads(run(file([workload(1)]), "-o", "json").stdout)
    assert one["feasible"]
    assert one["runtime_ms"] > 0
    assert listed["cost"] == one["cost"]


def test_a_table_names_every_module_and_what_it_costs(file):
    answer = run(file(workload(1, "chain", 3)))
    assert answer.exit_code == 0
    assert next(line.split()[0] for line in answer.stdout.splitlines()) == "MODULE"
    assert {"m0", "m1", "m2"} <= {line.split()[0] for line in answer.stdout.splitlines()}
    assert "an hour (fractional)" in answer.stdout


def test_an_infeasible_workload_is_a_plan_that_says_so(file):
    answer = run(file(workload(1) | {"objective_ms": 0.001}), "-o", "json")
    assert answer.exit_code == 0
    plan = json.loads(answer.stdout)
    assert plan["feasible"] is False
    assert plan["nearest_feasible"]["objective_ms"] > 0.001
    assert plan["nearest_feasible"]["devices"] > 0


def test_a_table_of_what_is_infeasible_says_what_would_do(file):
    assert "would do: an objective of" in run(file(workload(1) | {"objective_ms": 0.001})).stdout
    slow = {"device": "t4", "price": 1.0, "batch": 1, "latency_ms": 1000.0}
    crowded = {"objective_ms": 1e4, "modules": [{"name": "a", "rate": 4e6, "configurations": [slow]}]}
    assert "would do: 0.025 of the rates" in run(file(crowded)).stdout


def test_a_file_that_makes_no_sense_is_refused_with_its_name_and_place(file, tmp_path):
    path = file(workload(1) | {"objective_ms": 0})
    answer = run(path)
    assert answer.exit_code == 1
    assert answer.stderr.startswith(f"{path}: objective_ms: ")
    assert run(tmp_path / "none.json").exit_code == 1


def test_yaml_says_what_json_says(file):
    path = file(workload(1))
    as_json = json.loads(run(path, "-o", "json").stdout)
    as_yaml = YAML(typ="safe").load(run(path, "-o", "yaml").stdout)
    assert as_yaml["modules"] == as_json["modules"]


def test_an_unknown_solver_is_refused_with_those_that_there_are(file):
    answer = run(file(workload(1)), "--solver", "magic")
    assert answer.exit_code == 2
    assert "framepilot" in answer.stderr


@pytest.mark.parametrize("solver", ["harpagon", "nexus", "scrooge", "inferline", "clipper"])
def test_a_published_planner_is_refused_a_rule_that_it_does_not_know(file, solver):
    answer = run(file(workload(1) | {"collection": "others"}), "--solver", solver)
    assert answer.exit_code == 1
    assert f"'{solver}' plans for `collection` all only" in answer.stderr
    assert run(file(workload(1) | {"collection": "all"}), "--solver", solver).exit_code == 0


def test_batches_that_wait_for_the_others_only_cost_less_and_are_simulated_by_that_rule(file):
    document = workload(2, "chain", 2)
    every = json.loads(run(file(document), "-o", "json").stdout)
    fewer = json.loads(run(file(document | {"collection": "others"}), "--simulate", "-o", "json").stdout)
    assert fewer["cost"] < every["cost"]
    assert fewer["simulated"]["predicted_ms"] == pytest.approx(fewer["latency_ms"])


def test_a_simulated_plan_says_what_was_found(file):
    one = json.loads(run(file(workload(1, "chain", 2)), "--simulate", "-o", "json").stdout)
    assert one["feasible"]
    assert one["simulated"]["attainment"] >= 0.99
    assert one["simulated"]["p99_ms"] > 0
    assert [each["name"] for each in one["simulated"]["modules"]] == ["m0", "m1"]
    assert "simulated: p99" in run(file(workload(1, "chain", 2)), "--simulate").stdout


def two_devices(rate: float = 300.0):
    configurations = [
        {"device": device, "price": 1.0, "batch": 4, "latency_ms": latency_ms}
        for device, latency_ms in (("d0", 20.0), ("d1", 40.0))
    ]
    return {"objective_ms": 400.0, "modules": [{"name": "a", "rate": rate, "configurations": configurations}]}


def test_a_plan_that_runs_is_kept_and_what_moves_is_counted(file):
    before = file(json.loads(run(file(two_devices()), "-o", "json").stdout), "plan.json")
    kept = json.loads(run(file(two_devices(310.0)), "--previous", before, "-o", "json").stdout)
    assert kept["moves"] == {"started": 0, "stopped": 0}
    assert "no change" in kept["reason"]
    more = run(file(two_devices(500.0)), "--previous", before)
    assert "moves: 1 started, 0 stopped" in more.stdout.splitlines()
    assert json.loads(run(file(two_devices()), "-o", "json").stdout)["moves"] is None


def test_without_a_device_class_the_plan_moves_off_it(file):
    before = file(json.loads(run(file([two_devices()]), "-o", "json").stdout), "plan.json")
    answer = run(file([two_devices()]), "--previous", before, "--without", "d0", "-o", "json")
    (plan,) = json.loads(answer.stdout)
    assert [each["device"] for each in plan["modules"][0]["allocations"]] == ["d1"]
    assert plan["moves"] == {"started": 3, "stopped": 2}
    nothing = json.loads(run(file(two_devices()), "--without", "d0", "--without", "d1", "-o", "json").stdout)
    assert nothing["feasible"] is False
    assert "'a' can run on nothing" in nothing["reason"]
    assert nothing["moves"] is None


def test_a_plan_that_runs_is_simulated_and_changed_like_any_other(file):
    before = file(json.loads(run(file(two_devices()), "-o", "json").stdout), "plan.json")
    one = json.loads(run(file(two_devices()), "--previous", before, "--simulate", "-o", "json").stdout)
    assert one["simulated"]["attainment"] >= 0.99
    assert one["moves"] == {"started": 0, "stopped": 0}


@pytest.mark.parametrize(
    ("previous", "says"),
    [
        ("{", "it is no JSON"),
        ("[]", "the number of plans in it is 0, and that of workloads 1"),
        ("3", "a plan is an object, not 3; give what"),
        ('{"modules": 1}', "modules: it must be a list, not 1; give what"),
        (json.dumps({"modules": [{"name": "a"}]}), "modules[0].allocations: is missing; give a list; give what"),
        (json.dumps({"modules": [{"name": "a", "allocations": []}] * 2}), "modules[1]: module 'a' is there twice"),
        (json.dumps({"modules": [{"name": "", "allocations": []}]}), "modules[0].name: it must be a name, not ''"),
        *(
            (
                json.dumps({"modules": [{"name": "a", "allocations": [allocation]}]}),
                f"modules[0].allocations[0].{field}: it must be a",
            )
            for allocation, field in (
                ({"device": 1, "batch": 1, "instances": 1}, "device"),
                ({"device": "d", "batch": 0, "instances": 1}, "batch"),
                ({"device": "d", "batch": 1, "instances": -1}, "instances"),
                ({"device": "d", "batch": 1, "instances": float("nan")}, "instances"),
                ({"device": "d", "batch": 1, "instances": 1, "shared_with": 3}, "shared_with"),
            )
        ),
    ],
)
def test_a_previous_plan_that_is_none_is_refused_with_its_name_and_place(file, tmp_path, previous, says):
    path = tmp_path / "plan.json"
    path.write_text(previous)
    answer = run(file(two_devices()), "--previous", path)
    assert answer.exit_code == 1
    assert answer.stderr.startswith(f"{path}: ")
    assert says in answer.stderr


def test_options_of_plans_made_again_are_refused_where_they_would_do_nothing(file, tmp_path):
    path = file(two_devices())
    misspelt = run(path, "--without", "d3")
    assert misspelt.exit_code == 1
    assert "--without d3: no module has a configuration on it" in misspelt.stderr
    assert run(path, "--previous", tmp_path / "none.json").exit_code == 1
    assert run(path, "--previous", path, "--solver", "nexus").exit_code == 2
    assert CliRunner().invoke(build(()), ["plan", str(path), "--without", "d0"]).exit_code == 2
