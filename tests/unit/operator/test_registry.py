from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from framepilot.resources.parse import Resource
from framepilot.resources.runtime import InferenceRuntime, InferenceRuntimeStatus
from framepilot.resources.service import InferenceService, InferenceServiceStatus
from framepilot_operator.cluster.declarations import Declarations
from framepilot_operator.cluster.port import Problem
from framepilot_operator.cluster.records import read_declared, write_declared
from framepilot_operator.cluster.registry import REMOVAL_GRACE_S, Registry, updated
from support.snapshots import declared_runtime, resource

KEY = "cameras/lobby"
FILE = Path("/lobby.yaml")
GONE = Declarations(FILE, problems=(Problem(str(FILE), "there is no such file"),))
BROKEN = Declarations(FILE, problems=(Problem(str(FILE), "is not YAML"),), unreadable=True)


def file(*resources: Resource, path: Path = FILE, written_at: float = 1) -> Declarations:
    return Declarations(path, written_at=written_at, resources=resources)


def started() -> Registry:
    return updated(Registry(), [file(resource())], 100)


def test_an_edit_keeps_the_uid_and_counts():
    first = started()
    second = updated(first, [file(resource(version="2"), written_at=150)], 200)
    assert second.services[KEY].uid == first.services[KEY].uid
    assert [each.services[KEY].generation for each in (first, second)] == [1, 2]
    assert second.services[KEY].changed_at == 150


def test_looking_again_changes_nothing():
    first = started()
    assert updated(first, [file(resource())], 200).services == first.services


def test_an_old_time_of_writing_is_not_taken_for_the_edit():
    assert updated(started(), [file(resource(version="2"), written_at=7)], 200).services[KEY].changed_at == 200


def test_a_status_survives_an_edit():
    status = InferenceServiceStatus(observed_generation=1)
    reported = started().reported(KEY, status)
    assert updated(reported, [file(resource(version="2"))], 200).services[KEY].resource.status == status


def test_a_file_that_is_gone_for_a_moment_removes_nothing():
    first = started()
    missing = updated(first, [GONE], 200)
    assert KEY in missing.services
    back = updated(missing, [file(resource())], 200 + REMOVAL_GRACE_S / 2)
    assert back.services[KEY].uid == first.services[KEY].uid
    later = updated(updated(back, [GONE], 300), [GONE], 300 + REMOVAL_GRACE_S / 2)
    assert KEY in later.services


def test_a_service_that_is_declared_no_more_goes_and_comes_back_as_another():
    first = started()
    gone = updated(updated(first, [GONE], 200), [GONE], 200 + REMOVAL_GRACE_S)
    assert KEY not in gone.services
    assert updated(gone, [file(resource())], 300).services[KEY].uid != first.services[KEY].uid


def test_what_is_not_declared_at_the_first_look_goes_at_once():
    assert not updated(Registry(started().services), [GONE], 200).services


def test_a_broken_file_keeps_what_it_declared_for_good():
    first = registry = started()
    for now in (200, 300, 400):
        registry = updated(registry, [BROKEN], now)
    assert registry.services == first.services


def test_a_file_that_is_broken_at_the_first_look_keeps_what_it_declared():
    assert KEY in updated(Registry(started().services), [BROKEN], 200).services


def test_a_broken_document_keeps_its_service_and_no_other():
    other = resource().model_copy(update={"metadata": resource().metadata.model_copy(update={"name": "hall"})})
    registry = updated(Registry(), [file(resource(), other)], 100)
    broken = replace(file(), problems=(Problem("lobby.yaml", "min is larger than max", KEY),))
    for now in (200, 300):
        registry = updated(registry, [broken], now)
    assert list(registry.services) == [KEY]


def test_a_service_that_is_declared_twice_is_a_problem_and_the_first_counts():
    second = Path("/second.yaml")
    registry = updated(Registry(), [file(resource()), file(resource(version="2"), path=second)], 100)
    assert registry.services[KEY].resource.spec.modules[0].model.version == "1"
    (problem,) = registry.problems
    assert (problem.where, problem.service) == (str(second), KEY)
    assert "is declared already in /lobby.yaml" in problem.message


def test_a_service_is_stored_and_read_as_it_was(tmp_path: Path) -> None:
    record = started().services[KEY]
    write_declared(tmp_path, record)
    read = read_declared(tmp_path, InferenceService)[KEY]
    assert (read.uid, read.generation, read.changed_at, read.file) == (record.uid, 1, 100, str(FILE))
    assert read.resource.spec == record.resource.spec
    assert updated(Registry(read_declared(tmp_path, InferenceService)), [file(resource())], 200).services[KEY] == record


def test_a_damaged_record_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "cameras.lobby.yaml").write_text("{half")
    (tmp_path / "cameras.hall.yaml").write_text("kind: Unknown")
    assert read_declared(tmp_path, InferenceService) == {}


def test_a_runtime_is_followed_as_a_service_is_and_the_two_do_not_mix(tmp_path: Path) -> None:
    runtime = declared_runtime("lobby").resource
    first = updated(Registry(), [file(resource(), runtime)], 100)
    assert (list(first.services), list(first.runtimes)) == ([KEY], [KEY])
    assert first.services[KEY].uid != first.runtimes[KEY].uid
    assert first.problems == ()
    again = updated(first, [file(resource(), runtime)], 200)
    assert again.runtimes == first.runtimes
    reported = again.runtime_reported(KEY, InferenceRuntimeStatus(observed_generation=1))
    write_declared(tmp_path, reported.runtimes[KEY])
    read = read_declared(tmp_path, InferenceRuntime)
    assert read[KEY].resource.status.observed_generation == 1
    assert updated(Registry(runtimes=read), [file(resource(), runtime)], 300).runtimes[KEY].uid == read[KEY].uid
    without = [file(resource())]
    gone = updated(updated(reported, without, 300), without, 300 + REMOVAL_GRACE_S)
    assert (list(gone.services), list(gone.runtimes)) == ([KEY], [])
