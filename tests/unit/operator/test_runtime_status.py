"""What is reported of a runtime: what its models share, told once and then only when that changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from framepilot.contract.observed import ObservedStage, ObservedState, ParameterBytes
from framepilot.rollouts.state import RolloutState
from framepilot_operator.cluster.instance import _gist
from framepilot_operator.cluster.port import Instance
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.runtime_status import MOST_MODULES, MOST_STAGES, RuntimeFacts, runtime_status
from support.snapshots import declared_runtime, desired, module, observed, rollout

MODULES = ("cameras/one/face", "cameras/two/face")
STAGE = ObservedStage(modules=MODULES, nodes=40, share=0.93, batches=2, pictures=8, items=16, seconds=0.1)
SHARING = {"stages": (STAGE,), "parameters": ParameterBytes(unique=1000, referenced=2000)}


def state(**fields: Any) -> ObservedState:
    return observed(modules=[module()]).model_copy(update=fields)


def facts(seen: ObservedState | None, before: RuntimeFacts | None = None, now: float = 1000) -> RuntimeFacts:
    """The runtime of two services whose instance says this; `before`: what was reported last is of these facts."""
    runtime = declared_runtime("shared")
    if before is not None:
        resource = runtime.resource.model_copy(update={"status": runtime_status(before, now)})
        runtime = replace(runtime, resource=resource)
    instance = Instance(Owner.runtime("cameras/shared"), "u", desired(), seen, running=seen is not None)
    return RuntimeFacts(runtime, ("one", "two"), instance)


def test_what_is_shared_is_told_without_what_is_counted():
    found = runtime_status(facts(state(**SHARING)), 1000.7).sharing
    assert found.model_dump(by_alias=True) == {
        "since": datetime.fromtimestamp(1000, UTC),
        "parametersUniqueBytes": 1000,
        "parametersReferencedBytes": 2000,
        "stages": ({"modules": MODULES, "nodes": 40, "share": "93%"},),
    }


def test_counts_that_rise_change_nothing_and_wake_nobody():
    first = state(**SHARING)
    later = state(**{**SHARING, "stages": (STAGE.model_copy(update={"batches": 9, "pictures": 90, "seconds": 7}),)})
    before = facts(first)
    assert runtime_status(facts(later, before), 2000) == runtime_status(before, 1000)
    assert _gist(first) == _gist(later)


def test_a_stage_more_is_told_at_once():
    before = facts(state(**SHARING))
    three = STAGE.model_copy(update={"modules": (*MODULES, "cameras/z/face"), "share": 0.2})
    now = state(**{**SHARING, "stages": (three, STAGE)})
    found = runtime_status(facts(now, before), 2000).sharing
    assert [(stage.share, len(stage.modules)) for stage in found.stages] == [("93%", 2), ("20%", 3)]
    assert found.since == datetime.fromtimestamp(2000, UTC)
    assert _gist(now) != _gist(state(**SHARING))
    assert runtime_status(facts(state(**{**SHARING, "stages": (STAGE, three)}), facts(now)), 1000).sharing == (
        runtime_status(facts(now), 1000).sharing
    )


def test_while_a_model_is_loaded_or_the_instance_is_away_what_was_known_stays():
    before = facts(state(**SHARING))
    told = runtime_status(before, 1000).sharing
    more = {**SHARING, "parameters": ParameterBytes(unique=1500, referenced=2600)}
    loading = state(**more, modules=(module(rollout=rollout(RolloutState.LOADING, "2", 0)),))
    starting = state(parameters=ParameterBytes(), modules=(module().model_copy(update={"serving": None}),))
    for seen in (loading, starting, state(modules=()), None):
        assert runtime_status(facts(seen, before), 2000).sharing == told
    assert runtime_status(facts(state(**more), before), 2000).sharing.parameters_unique_bytes == 1500


def test_nothing_is_said_of_what_is_not_known_and_nothing_of_a_runtime_without_services():
    assert runtime_status(facts(None), 1000).sharing is None
    found = runtime_status(facts(state()), 1000).sharing
    assert (found.parameters_unique_bytes, found.parameters_referenced_bytes, found.stages) == (None, None, ())
    idle = replace(facts(state(**SHARING), facts(state(**SHARING))), services=())
    assert runtime_status(idle, 2000).sharing is None


def test_a_status_has_room_for_as_much_as_its_schema_says():
    many = tuple(f"cameras/s{number:03}/face" for number in range(300))
    stages = tuple(STAGE.model_copy(update={"modules": many, "share": number / 100}) for number in range(40))
    found = runtime_status(facts(state(stages=stages)), 1000).sharing
    assert (len(found.stages), len(found.stages[0].modules)) == (MOST_STAGES, MOST_MODULES)
    assert found.stages[0].share == "39%"
