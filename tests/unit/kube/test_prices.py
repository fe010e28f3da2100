"""What a device costs: the label of its node, else the price of its class; and what makes no sense harms nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from framepilot_operator.cluster.kube_api import KubeApi
from framepilot_operator.cluster.kube_world import World
from framepilot_operator.cluster.port import Instance
from framepilot_operator.cluster.prices import price_problems, priced, read_prices
from framepilot_operator.manifests.seen import SeenNode, SeenPod
from support.snapshots import OWNER, UID, observed

HERE = Instance(OWNER, UID, observed=observed(), running=True)


def node(price: str | None) -> SeenNode:
    labels = {} if price is None else {"framepilot.dev/price-per-hour": price}
    metadata = {"name": "n1", "uid": "n", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return SeenNode.model_validate({"metadata": {**metadata, "labels": labels}})


def test_the_price_is_that_of_the_node_else_that_of_the_class() -> None:
    assert priced(HERE, {"cpu": 0.05}, node("1.25")).price_per_hour == 1.25
    assert priced(HERE, {"cpu": 0.05}, node(None)).price_per_hour == 0.05
    assert priced(HERE, {"cpu": 0.05}).price_per_hour == 0.05
    assert priced(HERE, {"nvidia-t4": 0.35}, node(None)).price_per_hour is None


def test_until_an_instance_says_its_class_only_its_node_has_a_price() -> None:
    silent = replace(HERE, observed=None)
    assert priced(silent, {"cpu": 0.05}).price_per_hour is None
    assert priced(silent, {"cpu": 0.05}, node("0")).price_per_hour == 0


@pytest.mark.parametrize("written", ["-1", "NaN", "inf", "1e3", "dear", "", "1.", "0x1", "1,5", "99999999"])
def test_a_price_that_makes_no_sense_is_said_with_its_node_and_not_used(written: str) -> None:
    (problem,) = price_problems([node("0.35"), node(None), node(written)])
    assert problem.where == "node n1"
    assert "framepilot.dev/price-per-hour" in problem.message
    assert repr(written) in problem.message
    assert problem.service is None
    assert priced(HERE, {"cpu": 0.05}, node(written)).price_per_hour == 0.05


def world(*namespaces: str) -> World:
    """What is known without asking an API server anything."""
    return World(cast("KubeApi", None), namespaces)


def test_an_instance_costs_what_the_node_of_its_pod_says() -> None:
    metadata = {"name": "p", "namespace": "cameras", "uid": "p", "resourceVersion": "1"}
    pod = SeenPod.model_validate(
        {"metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"nodeName": "n1"}}
    )
    everywhere = world()
    assert everywhere.nodes is not None
    assert everywhere.node_of(pod) is None
    everywhere.nodes.put(node("dear").model_dump(by_alias=True))
    assert everywhere.node_of(pod) == node("dear")
    assert everywhere.problems() == price_problems([node("dear")])
    assert everywhere.node_of(None) is None
    assert world("cameras").node_of(pod) is None


def test_prices_are_read_by_class() -> None:
    assert read_prices(["cpu=0.05", "nvidia-t4=1"]) == {"cpu": 0.05, "nvidia-t4": 1.0}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("cpu", "'cpu' is not CLASS=PRICE"),
        ("cpu=-1", "the price of cpu: '-1' is not a price"),
        ("cpu=NaN", "the price of cpu: 'NaN' is not a price"),
        ("cpu=", "the price of cpu: '' is not a price"),
        ("CPU=1", "'CPU' is not a device class"),
        ("gpu=2", "two prices of gpu"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused_with_what_to_write(entry: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_prices(["gpu=1", entry])
