"""What is said of a device that an instance does not get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from framepilot_operator.cluster.port import Instance, Snapshot
from framepilot_operator.devices import shortage
from framepilot_operator.manifests.owner import Owner
from support.snapshots import OWNER, desired

GPU = "example.com/gpu"
WAITS = Instance(
    Owner.service("cameras/hall"),
    "v",
    reason=f"no node takes its pod (Unschedulable): 0/1 nodes are available: 1 Insufficient {GPU}; free it",
    devices={GPU: 1},
    has_node=False,
)
HOLDS = Instance(OWNER, "u", desired(), running=True, devices={GPU: 1})


def said(*others: Instance, there: Mapping[str, int] | None, waits: Instance = WAITS) -> str | None:
    return shortage(waits, Snapshot(instances=(waits, *others), devices=there))


def test_whoever_holds_the_device_is_named_by_the_services_that_it_runs() -> None:
    sentence = said(HOLDS, there={GPU: 1})
    assert sentence is not None
    assert sentence.startswith(f"{GPU} is held by cameras/lobby (1 of 1); share its instance")
    two = replace(HOLDS, owner=Owner.runtime("other/shared"), desired=None)
    assert "held by cameras/lobby; runtime other/shared (2 of 3);" in str(said(HOLDS, two, there={GPU: 3}))


def test_where_nodes_may_not_be_looked_at_the_holder_is_named_all_the_same() -> None:
    assert f"{GPU} is held by cameras/lobby; share" in str(said(HOLDS, there=None))


def test_what_no_node_has_and_what_others_hold_is_told_apart() -> None:
    assert f"no node offers {GPU}" in str(said(there={}))
    assert "held by pods that are not Framepilot's" in str(said(there={GPU: 1}))
    assert "held by pods that are not Framepilot's" in str(said(there=None))


def test_an_instance_that_has_its_device_or_waits_for_something_else_is_not_short() -> None:
    assert said(there={GPU: 1}, waits=HOLDS) is None
    cpu = replace(WAITS, reason="no node takes its pod (Unschedulable): 1 Insufficient cpu")
    assert said(HOLDS, there={GPU: 2}, waits=cpu) is None
    assert said(HOLDS, there={GPU: 1}, waits=replace(WAITS, devices={}, reason=None)) is None


def test_another_pod_that_waits_holds_nothing() -> None:
    assert "not Framepilot's" in str(said(replace(WAITS, owner=OWNER), there={GPU: 1}))
