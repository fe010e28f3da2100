from __future__ import annotations

import copy
import io
import json

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from framepilot.resources.parse import parse_resource
from framepilot_operator import edit as editing
from framepilot_operator.commands.module_patch import module_patch
from framepilot_operator.commands.service_view import view
from framepilot_operator.edit import Edit, EditError
from support.resources import service_document

SIZES = st.integers(1, 256)
BATCHING = st.one_of(
    st.none(),
    st.fixed_dictionaries({"mode": st.just("Fixed"), "size": SIZES}),
    st.fixed_dictionaries({}, optional={"mode": st.just("Auto"), "min": st.just(2), "max": st.integers(4, 64)}),
)
EDITS = st.builds(
    Edit,
    service=st.just("cameras/lobby"),
    module=st.sampled_from(["face", "age"]),
    batch=st.one_of(st.none(), st.just("auto"), SIZES),
    model_version=st.one_of(st.none(), st.sampled_from(["1", "2"])),
)


def declared(general: object, own: object) -> dict:
    document = service_document()
    if general is not None:
        document["spec"]["batching"] = general
    if own is not None:
        document["spec"]["modules"][1]["batching"] = own
    document["spec"]["modules"][1]["model"]["sha256"] = "a" * 64
    return document


def stored(document: dict) -> dict:
    """As an API server has it: with defaults and a version."""
    found = copy.deepcopy(document)
    found["metadata"]["resourceVersion"] = "7"
    batchings = [found["spec"].setdefault("batching", {})]
    batchings += [module["batching"] for module in found["spec"]["modules"] if "batching" in module]
    for batching in batchings:
        for name, value in (("mode", "Auto"), ("min", 1), ("max", 32)):
            batching.setdefault(name, value)
    return found


def patched(document: dict, edit: Edit) -> tuple[dict, tuple[str, ...]]:
    patch = module_patch(view(document), edit)
    return jsonpatch.apply_patch(document, list(patch.operations)), patch.changed


def meant(document: dict) -> list[tuple]:
    """What a document declares of each module."""
    resource = parse_resource({key: document[key] for key in ("apiVersion", "kind", "metadata", "spec")}, "test")
    spec = resource.spec
    return [(module.name, module.model, spec.batching_of(module).bounds) for module in spec.modules]


@given(BATCHING, BATCHING, EDITS)
def test_an_edit_means_the_same_on_a_cluster_as_in_a_file(general, own, edit):
    document = declared(general, own)
    after, changed = patched(stored(document), edit)
    edited = editing.apply(json.dumps(document), edit, "test")
    assert meant(after) == meant(YAML(typ="safe", pure=True).load(io.StringIO(edited.text)))
    assert changed == edited.changed


@given(BATCHING, SIZES)
def test_auto_after_a_batch_size_gives_the_service_as_it_was(general, size):
    before = stored(declared(general, None))
    if before["spec"]["batching"]["mode"] == "Fixed":
        return
    fixed, _ = patched(before, Edit("cameras/lobby", "age", size))
    assert patched(stored(fixed), Edit("cameras/lobby", "age", "auto"))[0] == before


def test_only_the_module_is_touched():
    before = stored(declared(None, None))
    after, _ = patched(before, Edit("cameras/lobby", "age", 16, "2"))
    expected = copy.deepcopy(before)
    expected["spec"]["modules"][1]["batching"] = {"mode": "Fixed", "size": 16}
    expected["spec"]["modules"][1]["model"] = {"name": "age", "version": "2"}
    assert after == expected


def test_a_patch_does_not_hold_where_the_list_was_edited_meanwhile():
    before = stored(declared(None, None))
    operations = list(module_patch(view(before), Edit("cameras/lobby", "age", 16)).operations)
    before["spec"]["modules"].reverse()
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(before, operations)
    assert {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"} in operations


def test_a_module_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(EditError, match=r"service 'cameras/lobby' has no module 'gender'; there are: face, age"):
        module_patch(view(stored(service_document())), Edit("cameras/lobby", "gender", 2))


def test_nothing_to_change_makes_no_patch():
    patch = module_patch(view(stored(service_document())), Edit("cameras/lobby", "age", "auto", "1"))
    assert (patch.operations, patch.changed) == ((), ())
